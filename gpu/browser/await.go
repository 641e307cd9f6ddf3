//go:build js

package browser

import (
	"errors"
	"fmt"
	"syscall/js"

	"bitnet/gpu/driver"
)

// await calls a method that gives a promise, and waits for its value; doing is
// for errors, such as "read from a buffer".
func await(doing string, object js.Value, method string, args ...any) (v js.Value, err error) {
	promise, err := call(object, method, args...)
	if err == nil {
		v, err = settle(promise)
	}
	if err == nil {
		return v, nil
	}
	var fault *driver.CompileError
	if errors.As(err, &fault) {
		return v, err
	}
	return v, fmt.Errorf("%s: %w", doing, err)
}

// call calls a method; what JavaScript throws is its error.
func call(object js.Value, method string, args ...any) (v js.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			thrown, ok := r.(js.Error)
			if !ok {
				panic(r)
			}
			err = failure(thrown.Value)
		}
	}()
	return object.Call(method, args...), nil
}

// settle waits until a promise is fulfilled or rejected.
func settle(promise js.Value) (js.Value, error) {
	type result struct {
		v   js.Value
		err error
	}
	done := make(chan result, 1)
	first := func(args []js.Value) js.Value {
		if len(args) == 0 {
			return js.Undefined()
		}
		return args[0]
	}
	fulfilled := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- result{v: first(args)}
		return nil
	})
	defer fulfilled.Release()
	rejected := js.FuncOf(func(_ js.Value, args []js.Value) any {
		done <- result{err: failure(first(args))}
		return nil
	})
	defer rejected.Release()
	promise.Call("then", fulfilled, rejected)
	r := <-done
	return r.v, r.err
}

// failure makes an error of what gpu.js, or the browser, rejects a promise with.
func failure(v js.Value) error {
	if v.Type() != js.TypeObject {
		return errors.New(v.String())
	}
	text := func(name string) string {
		if f := v.Get(name); f.Type() == js.TypeString {
			return f.String()
		}
		return ""
	}
	message := oneLine(text("message"))
	switch text("status") {
	case "lost":
		return fmt.Errorf("%w (%s)", driver.ErrDeviceLost, message)
	case "memory":
		return fmt.Errorf("%w (%s)", driver.ErrOutOfMemory, message)
	case "compile":
		return &driver.CompileError{Line: v.Get("line").Int(), Column: v.Get("column").Int(), Message: message}
	}
	if message == "" {
		message = v.Call("toString").String()
	}
	return errors.New(message)
}
