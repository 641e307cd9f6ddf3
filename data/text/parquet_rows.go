//go:build !js

package text

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"bitnet/data/printable"
)

// leaf is a column of values that rows are made of: a column of its own, the
// elements of a list, or a field of the groups in a list.
type leaf struct {
	column
	top    string   // its column in the row
	groups []string // from there to the list, where the list is a field of a group
	field  string   // in each group of a list; "" for a column of its own and for elements
}

// parquetRows gives rows as JSON objects of the named columns. The columns are
// read at the same time, so that only one row of each is in memory.
func parquetRows(ctx context.Context, f io.ReaderAt, size int64, columns []string, o Options, yield func(Row, error) bool) error {
	meta, err := footer(f, size)
	if err != nil {
		return fmt.Errorf("parquet footer: %w", err)
	}
	leaves, err := findLeaves(meta, columns, o.Integers)
	if err != nil {
		return err
	}
	if rows := totalRows(meta); rows < 0 || rows > rowsPerByte*size {
		return fmt.Errorf("parquet footer: %d rows in %d bytes", rows, size)
	}
	readers := make([]*leafReader, len(leaves))
	for i, l := range leaves {
		readers[i] = &leafReader{leaf: l, pages: pages{max: o.MaxDocument}}
		defer readers[i].pages.close()
	}
	first := int64(0)
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		err := rowGroup(ctx, f, size, g, readers, o, func(n int64, row []byte) error {
			at := first + n
			read := int64(float64(size) * float64(at+1) / float64(max(meta.NumRows, at+1)))
			if !yield(Row{JSON: row, Place: fmt.Sprintf("row %d", at+1), Read: read}, nil) {
				return errStopped
			}
			return nil
		})
		if err == errStopped || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return err
		}
		if err != nil {
			return fmt.Errorf("row group %d: %w", i, err)
		}
		first += g.NumRows
	}
	return nil
}

// rowGroup gives the rows of a group, with their numbers in it.
func rowGroup(ctx context.Context, f io.ReaderAt, size int64, g *format.RowGroup, readers []*leafReader, o Options, each func(int64, []byte) error) error {
	if g.NumRows < 0 {
		return fmt.Errorf("%d rows", g.NumRows)
	}
	for _, r := range readers {
		if r.column.leaf >= len(g.Columns) {
			return fmt.Errorf("%d columns, column %d wanted", len(g.Columns), r.column.leaf)
		}
		stop, err := r.begin(ctx, f, size, &g.Columns[r.column.leaf], g.NumRows)
		if err != nil {
			return fmt.Errorf("column %s: %w", r.name(), err)
		}
		defer stop()
	}
	for n := range g.NumRows {
		object := map[string]any{}
		used := 0 // bytes of its values
		for _, r := range readers {
			values, err := r.row(&used, o.MaxDocument)
			if err != nil {
				return fmt.Errorf("row %d, column %s: %w", n, r.name(), err)
			}
			if err := r.put(object, values); err != nil {
				return fmt.Errorf("row %d: %w", n, err)
			}
		}
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(object); err != nil {
			return err
		}
		if err := each(n, text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// leafReader reads one column, row by row.
type leafReader struct {
	leaf
	pages pages
	next  func() (leafValue, error, bool)
	ahead *leafValue // the first value of the next row
}

// leafValue is a value of a column.
type leafValue struct {
	text    *string // nil for null
	first   bool    // of its row
	element bool    // there is an element of the list for it
}

func (r *leafReader) name() string {
	return strings.TrimSuffix(strings.Join(append([]string{r.top}, r.groups...), ".")+"."+r.field, ".")
}

// begin starts with a column chunk.
func (r *leafReader) begin(ctx context.Context, f io.ReaderAt, size int64, c *format.ColumnChunk, rows int64) (stop func(), err error) {
	values := rows
	if r.repeats > 0 { // a row has at least one value, and runs of levels take no bytes
		if values = c.MetaData.NumValues; values < rows || values > rowsPerByte*size {
			return nil, fmt.Errorf("%d values in %d rows of a file of %d bytes", values, rows, size)
		}
	}
	seq := func(yield func(leafValue, error) bool) {
		err := r.pages.read(ctx, f, size, c, values, r.column, func(text []byte, null bool) error {
			v := leafValue{first: r.repeats == 0 || r.pages.repetition == 0, element: r.pages.definition >= r.element}
			if !null {
				s := string(text)
				v.text = &s
			}
			if !yield(v, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && err != errStopped {
			yield(leafValue{}, err)
		}
	}
	r.ahead = nil
	r.next, stop = iter.Pull2(iter.Seq2[leafValue, error](seq))
	return stop, nil
}

// row gives the values of the next row. Its bytes are added to used, which may
// become most.
func (r *leafReader) row(used *int, most int) (values []leafValue, err error) {
	for {
		v := r.ahead
		r.ahead = nil
		if v == nil {
			got, err, ok := r.next()
			if err != nil {
				return nil, err
			}
			if !ok {
				if len(values) == 0 {
					return nil, errors.New("the values end early")
				}
				return values, nil
			}
			v = &got
		}
		if v.first != (len(values) == 0) {
			if !v.first {
				return nil, errors.New("the first value of a row is marked as a later one")
			}
			r.ahead = v
			return values, nil
		}
		if v.text != nil {
			*used += len(*v.text)
		}
		*used += 8 // of an element without text too: a run of nulls takes no bytes in the file
		if *used > most {
			return nil, tooLong(int64(*used), most)
		}
		values = append(values, *v)
		if r.repeats == 0 {
			return values, nil
		}
	}
}

// put adds the values of a row to its object.
func (r *leafReader) put(object map[string]any, values []leafValue) error {
	if r.repeats == 0 {
		object[r.top] = r.value(values[0])
		return nil
	}
	if len(values) == 1 && !values[0].element {
		values = nil
	}
	at := r.top
	for _, name := range r.groups {
		inner, ok := object[at].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[at] = inner
		}
		object, at = inner, name
	}
	if r.field == "" {
		list := make([]any, len(values))
		for i, v := range values {
			list[i] = r.value(v)
		}
		object[at] = list
		return nil
	}
	list, there := object[at].([]map[string]any)
	if !there {
		list = make([]map[string]any, len(values))
		for i := range list {
			list[i] = map[string]any{}
		}
		object[at] = list
	}
	if len(list) != len(values) {
		return fmt.Errorf("column %s has %d values where another field of the list has %d", r.name(), len(values), len(list))
	}
	for i, v := range values {
		list[i][r.field] = r.value(v)
	}
	return nil
}

// value is what a JSON object has of a value: a string, a number or null.
func (r *leafReader) value(v leafValue) any {
	if v.text == nil || r.integer == 0 {
		return v.text
	}
	return json.Number(*v.text)
}

// findLeaves finds the columns of the given names that hold strings, or whole
// numbers where those are wanted too, or lists of them or of groups of them.
func findLeaves(meta *format.FileMetaData, columns []string, integers bool) ([]leaf, error) {
	w := leafWalk{schema: meta.Schema, want: columns, integers: integers}
	if len(w.schema) == 0 {
		return nil, errDamagedSchema
	}
	w.at = 1
	for w.at < len(w.schema) {
		if err := w.walk(leafPath{}, column{}, 0); err != nil {
			return nil, err
		}
	}
	if len(w.found) == 0 {
		return nil, fmt.Errorf("none of its columns (%s) is one of %s", printable.Short(strings.Join(w.names, ", "), 300), strings.Join(columns, ", "))
	}
	return w.found, nil
}

// leafWalk walks the schema, a tree in the order of its nodes.
type leafWalk struct {
	schema   []format.SchemaElement
	want     []string
	integers bool
	at       int
	leaves   int
	names    []string // of the columns of rows
	found    []leaf
}

// leafPath is the way from a row to a node of the schema.
type leafPath struct {
	names   []string
	list    int // how many of them name the list that the node is in
	element int // how many lead to the elements of that list
}

// isList reports whether the node at index i is a group that its only child, a
// repeated one, makes a list: the form of parquet's LogicalTypes.md.
func (w *leafWalk) isList(i int) bool {
	e := &w.schema[i]
	return e.NumChildren.V == 1 && (e.ConvertedType.Valid && e.ConvertedType.V == deprecated.List || isListType(e.LogicalType.Value))
}

func isListType(t format.LogicalTypeValue) bool {
	_, ok := t.(*format.ListType)
	return ok
}

// walk passes over the node at w.at and all below it. path and c say what holds
// for its parents.
func (w *leafWalk) walk(path leafPath, c column, depth int) error {
	if depth > maxThriftDepth || w.at >= len(w.schema) || w.schema[w.at].NumChildren.V < 0 {
		return errDamagedSchema
	}
	e := &w.schema[w.at]
	parent := w.at - 1 // only read where the node is the first child
	w.at++
	if len(path.names) == 0 {
		w.names = append(w.names, e.Name)
	}
	path.names = append(slices.Clone(path.names), e.Name)
	if e.RepetitionType.Valid && e.RepetitionType.V != format.Required {
		c.levels++
	}
	if e.RepetitionType.Valid && e.RepetitionType.V == format.Repeated {
		c.repeats++
		c.element = c.levels
		path.list, path.element = len(path.names), len(path.names)
		if len(path.names) > 1 && w.isList(parent) {
			path.list--
			if e.NumChildren.V == 1 && e.Name != "array" && !strings.HasSuffix(e.Name, "_tuple") {
				path.element++
			}
		}
	}
	if children := e.NumChildren.V; children > 0 {
		for range children {
			if err := w.walk(path, c, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	c.leaf = w.leaves
	w.leaves++
	if !slices.Contains(w.want, path.names[0]) || !w.holds(e, &c) {
		return nil
	}
	switch names := path.names; {
	case c.repeats == 0 && len(names) == 1:
		w.found = append(w.found, leaf{c, names[0], nil, ""})
	case c.repeats == 1 && len(names) <= path.element:
		w.found = append(w.found, leaf{c, names[0], names[1:path.list], ""})
	case c.repeats == 1:
		w.found = append(w.found, leaf{c, names[0], names[1:path.list], names[len(names)-1]})
	}
	return nil
}

// holds reports whether a column holds values that are read, and says in c which.
func (w *leafWalk) holds(e *format.SchemaElement, c *column) bool {
	switch {
	case !e.Type.Valid:
		return false
	case w.integers && e.Type.V == format.Int32:
		c.integer = 4
	case w.integers && e.Type.V == format.Int64:
		c.integer = 8
	default:
		return e.Type.V == format.ByteArray
	}
	return true
}
