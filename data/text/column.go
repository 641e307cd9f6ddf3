//go:build !js

package text

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"bitnet/data/printable"

	"github.com/parquet-go/parquet-go/format"
)

// column is where values are in a parquet file: strings, or whole numbers.
type column struct {
	leaf   int    // index among the columns that hold values
	levels uint32 // definition level of a value that is not null; 0 if none can be null
	// repeats is the repetition level of a value in a list, 1 where its column is
	// in one list; element is the definition level from which on there is an
	// element of that list.
	repeats, element uint32
	integer          int // bytes of a whole number; 0 for a string
}

// kind is the type that pages have for it.
func (c column) kind() format.Type {
	switch c.integer {
	case 4:
		return format.Int32
	case 8:
		return format.Int64
	}
	return format.ByteArray
}

// width is how many bits a definition level takes.
func (c column) width() uint { return uint(bits.Len32(c.levels)) }

// findColumn finds a column of strings by its name, or by the names of the
// groups that it is in and its own, with dots between.
func findColumn(meta *format.FileMetaData, name string) (column, error) {
	w := columnWalk{schema: meta.Schema, want: name}
	if len(w.schema) == 0 {
		return column{}, errDamagedSchema
	}
	w.at = 1
	for w.at < len(w.schema) {
		if err := w.walk("", 0, false, 0); err != nil {
			return column{}, err
		}
	}
	switch {
	case w.found != nil:
		return *w.found, w.why
	case w.why != nil:
		return column{}, w.why
	case len(w.names) == 0:
		return column{}, fmt.Errorf("there is no column %q, and no other column holds text", name)
	}
	more := ""
	if len(w.names) > 20 {
		w.names, more = w.names[:20], ", ..."
	}
	return column{}, fmt.Errorf("there is no column %q; choose one with --field: %s%s", name, printable.Short(strings.Join(w.names, ", "), 500), more)
}

var errDamagedSchema = errors.New("the schema is damaged")

// columnWalk walks the schema, a tree in the order of its nodes.
type columnWalk struct {
	schema []format.SchemaElement
	want   string
	at     int
	leaf   int
	names  []string // of columns that hold strings
	found  *column
	why    error // why the column that was asked for cannot be read
}

// walk passes over the node at w.at and all below it. levels and repeated say
// what holds for its parents.
func (w *columnWalk) walk(parent string, levels uint32, repeated bool, depth int) error {
	if depth > maxThriftDepth || w.at >= len(w.schema) || w.schema[w.at].NumChildren.V < 0 {
		return errDamagedSchema
	}
	e := &w.schema[w.at]
	w.at++
	name := parent + e.Name
	if e.RepetitionType.Valid {
		repeated = repeated || e.RepetitionType.V == format.Repeated
		if e.RepetitionType.V != format.Required {
			levels++
		}
	}
	// The first column of a name counts, as a top-level one may be called a.b.
	wanted := name == w.want && w.found == nil && w.why == nil
	if children := e.NumChildren.V; children > 0 {
		before := len(w.names)
		for range children {
			if err := w.walk(name+".", levels, repeated, depth+1); err != nil {
				return err
			}
		}
		if wanted {
			w.why = fmt.Errorf("column %q is a group of columns and does not hold strings itself; choose a different one with --field", name)
			if len(w.names) > before {
				w.why = fmt.Errorf("column %q is a group of columns and does not hold strings itself; choose one of it with --field: %s", name, printable.Short(strings.Join(w.names[before:], ", "), 500))
			}
		}
		return nil
	}
	leaf := w.leaf
	w.leaf++
	isText := e.Type.Valid && e.Type.V == format.ByteArray
	if isText && !repeated {
		w.names = append(w.names, name)
	}
	switch {
	case !wanted:
	case repeated:
		w.why = fmt.Errorf("column %q is a list; choose a different one with --field", name)
	case !isText:
		w.why = fmt.Errorf("column %q does not hold strings; choose a different one with --field", name)
	default:
		w.found = &column{leaf: leaf, levels: levels}
	}
	return nil
}
