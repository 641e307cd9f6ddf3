package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"syscall/js"
	"time"
)

func main() {
	bridge := js.Global().Get("bitnet")
	w := newWorker("/", browserHost(bridge))
	bridge.Call("ready", js.FuncOf(func(_ js.Value, args []js.Value) any {
		w.receive(context.Background(), []byte(args[0].String()))
		return nil
	}))
	go w.watchStorage()
	w.sendReady(version())
	select {} // what comes, comes from the page
}

// browserHost is the host of worker.js.
func browserHost(bridge js.Value) host {
	return host{
		post: func(message []byte, more ...attachment) {
			fields := js.Global().Get("Object").New()
			for _, a := range more {
				fields.Set(a.field, a.value())
			}
			bridge.Call("post", string(message), fields)
		},
		storage: func() (Storage, error) {
			var s Storage
			v, err := wait(bridge.Call("storage"))
			if err == nil {
				err = json.Unmarshal([]byte(v.String()), &s)
			}
			return s, err
		},
		shipped: func(folder string) error {
			_, err := wait(bridge.Call("shipped", folder))
			if err != nil {
				return fmt.Errorf("the model that comes with this page cannot be fetched (%w): reload the page", err)
			}
			return nil
		},
		lose: func() { js.Global().Get("bitnetGPU").Call("loseAll") },
	}
}

func (a attachment) value() js.Value {
	parts := js.Global().Get("Array").New()
	for _, d := range a.data {
		b := js.Global().Get("Uint8Array").New(len(d))
		js.CopyBytesToJS(b, d)
		if !a.blob {
			return b
		}
		parts.Call("push", b)
	}
	return js.Global().Get("Blob").New(parts)
}

// wait waits for a promise.
func wait(promise js.Value) (v js.Value, err error) {
	done := make(chan struct{})
	fulfilled := js.FuncOf(func(_ js.Value, args []js.Value) any {
		if len(args) > 0 {
			v = args[0]
		}
		close(done)
		return nil
	})
	defer fulfilled.Release()
	rejected := js.FuncOf(func(_ js.Value, args []js.Value) any {
		err = js.Error{Value: args[0]}
		close(done)
		return nil
	})
	defer rejected.Release()
	promise.Call("then", fulfilled, rejected)
	<-done
	return v, err
}

// watchStorage tells the page when the space changed.
func (w *worker) watchStorage() {
	var last Storage
	for ; ; time.Sleep(3 * time.Second) {
		if s, err := w.storage(); err == nil && s != last {
			last = s
			w.tell("storage", s)
		}
	}
}

// version is that of bitnet in the program's build information.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+changes"
		}
	}
	if revision == "" {
		return info.Main.Version
	}
	return revision + changed
}
