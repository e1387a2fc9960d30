package pristine

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestWhatCannotBe(t *testing.T) {
	if _, err := NewImage(make([]byte, 100), Config{}); err == nil {
		t.Error("an image of 100 bytes")
	}
	if _, err := NewImage(nil, Config{Method: 77}); err == nil {
		t.Error("an image with an unknown method")
	}
	image := newImage(t, make([]byte, 2*WasmPage), Config{})
	for _, limit := range []uint64{0, WasmPage, Largest + 1, 1 << 63} {
		if m, err := image.NewMemory(limit); err == nil {
			t.Errorf("a memory with a limit of %d bytes: %+v", limit, m)
		}
	}
	if _, err := NewTemplateMemory(Largest + 1); err == nil {
		t.Error("a template of more than there can be")
	}
}

func TestTemplate(t *testing.T) {
	m, err := NewTemplateMemory(3 * WasmPage)
	if err != nil {
		t.Fatal(err)
	}
	r := run(m, WasmPage)
	if len(r.bytes) != WasmPage {
		t.Fatalf("%d bytes", len(r.bytes))
	}
	r.bytes[7] = 7
	if _, ok := r.Grow(2); !ok || r.bytes[7] != 7 || len(m.Bytes()) != 3*WasmPage {
		t.Errorf("grew to %d bytes", len(m.Bytes()))
	}
	if _, ok := r.Grow(1); ok || m.Refused() != 4*WasmPage || m.Size() != 3*WasmPage || m.Peak() != 3*WasmPage {
		t.Errorf("size %d, peak %d, refused %d", m.Size(), m.Peak(), m.Refused())
	}
	if _, err := m.Restore(r); !errors.Is(err, errTemplate) {
		t.Errorf("restored a template: %v", err)
	}
	if err := m.Trim(); !errors.Is(err, errTemplate) {
		t.Errorf("trimmed a template: %v", err)
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if m.Bytes() != nil || m.Reallocate(1) != nil {
		t.Error("there is memory after Close")
	}
}

func TestEmptyMemory(t *testing.T) {
	for _, method := range methods(t) {
		image := newImage(t, nil, Config{Method: method})
		m := newMemory(t, image, 0)
		r := run(m, 0)
		if r.bytes == nil || len(r.bytes) != 0 {
			t.Errorf("%s: %v", method, r.bytes)
		}
		restore(t, m, r)
		restore(t, m, r)
		if _, ok := r.Grow(1); ok {
			t.Errorf("%s: it grew", method)
		}
	}
}

func TestRestoreDuringACall(t *testing.T) {
	m := newMemory(t, newImage(t, nil, Config{}), WasmPage)
	r := run(m, 0)
	m.End() // without Begin nothing happens
	m.Begin()
	m.Begin() // a second Begin does nothing
	if _, err := m.Restore(r); !errors.Is(err, errRunning) {
		t.Errorf("restored: %v", err)
	}
	if err := m.Trim(); !errors.Is(err, errRunning) {
		t.Errorf("trimmed: %v", err)
	}
	m.End()
	restore(t, m, r)
}

func TestMemoryForTwoModules(t *testing.T) {
	m := newMemory(t, newImage(t, nil, Config{}), WasmPage)
	run(m, 0)
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "two modules") {
			t.Errorf("panic %q", s)
		}
	}()
	run(m, 0)
}

// TestImageOutlivesItsOwner closes an image while a memory over it is in use.
func TestImageOutlivesItsOwner(t *testing.T) {
	for _, method := range methods(t) {
		mem := bytes.Repeat([]byte("wasm"), WasmPage/4)
		image, err := NewImage(mem, Config{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		m := newMemory(t, image, WasmPage)
		r := run(m, WasmPage)
		for range 2 {
			if err := image.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := image.NewMemory(WasmPage); !errors.Is(err, ErrClosed) {
			t.Errorf("a memory over a closed image: %v", err)
		}
		clear(r.bytes)
		restore(t, m, r)
		same(t, "after a restore", r.bytes, mem)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Restore(r); err == nil {
			t.Error("restored a closed memory")
		}
	}
}

func TestNames(t *testing.T) {
	for _, s := range []struct{ got, want string }{
		{MethodAuto.String(), "auto"}, {MethodPlain.String(), "plain"}, {Method(99).String(), "unknown"},
		{PathHot.String(), "hot"}, {PathDrop.String(), "drop"}, {Path(99).String(), "unknown"},
	} {
		if s.got != s.want {
			t.Errorf("%q, want %q", s.got, s.want)
		}
	}
}
