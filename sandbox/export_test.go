package sandbox

import (
	"bytes"
	"fmt"
	"time"

	"github.com/ruedo-dev/ruedo/sandbox/limit"
)

// Snapshot returns a copy of the memory that instances begin with.
func (t *Template) Snapshot() ([]byte, error) {
	m, err := t.image.NewMemory(t.image.Size())
	if err != nil {
		return nil, err
	}
	return bytes.Clone(m.Reallocate(0)), m.Close()
}

// Idle returns how many instances wait for a call.
func (t *Template) Idle() int {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	return len(t.pool.idle)
}

// CheckIdle compares an idle instance with the snapshot, byte by byte and
// global by global, and checks that it grows by zeros, by a number of pages or
// as far as it can. checked is false if no instance is idle.
func (t *Template) CheckIdle(snapshot []byte, pages uint32) (checked bool, err error) {
	i := t.pool.get()
	if i == nil {
		return false, nil
	}
	err = t.compare(i, snapshot, pages)
	if _, rerr := i.restore(); err == nil {
		err = rerr
	}
	if err != nil || !t.pool.put(i) {
		i.close()
	}
	return true, err
}

func (t *Template) compare(i *instance, snapshot []byte, pages uint32) error {
	mem := i.module.Memory()
	got, ok := mem.Read(0, mem.Size())
	if !ok || len(got) != len(snapshot) {
		return fmt.Errorf("the memory has %d bytes, the snapshot %d", len(got), len(snapshot))
	}
	if !bytes.Equal(got, snapshot) {
		n := 0
		for got[n] == snapshot[n] {
			n++
		}
		return fmt.Errorf("byte %d is %#x, in the snapshot it is %#x", n, got[n], snapshot[n])
	}
	for n, g := range i.globals {
		if g.Get() != t.globals[n] {
			return fmt.Errorf("global %s is %#x, in the snapshot it is %#x", t.rewritten.Globals[n].Name, g.Get(), t.globals[n])
		}
	}
	room := min(uint32(t.maxMemory()/limit.Page)-mem.Size()/limit.Page, pages)
	if _, ok := mem.Grow(room); !ok {
		return fmt.Errorf("the memory does not grow by %d pages", room)
	}
	zeros := make([]byte, limit.Page)
	for at := uint32(len(snapshot)); at < mem.Size(); at += limit.Page {
		if more, _ := mem.Read(at, limit.Page); !bytes.Equal(more, zeros) {
			return fmt.Errorf("the page at %d, behind the snapshot, is not zero", at)
		}
	}
	return nil
}

// SoilIdle changes an idle instance behind its back: a byte of its memory, a
// byte behind it, or a global.
func (t *Template) SoilIdle(what string) {
	i := t.pool.get()
	mem := i.module.Memory()
	switch what {
	case "memory":
		b, _ := mem.Read(mem.Size()/2, 1)
		b[0] ^= 1
	case "grown":
		size := mem.Size()
		mem.Grow(1)
		b, _ := mem.Read(size+17, 1)
		b[0] = 1
		mem.Grow(0)
	case "global":
		i.globals[0].Set(i.globals[0].Get() + 1)
	}
	t.pool.put(i)
}

// Sweep runs one round of the janitor.
func (t *Template) Sweep() {
	for _, i := range t.pool.sweep() {
		i.close()
	}
}

// BreakClock makes the wall clock of new instances panic.
func (t *Template) BreakClock(v any) {
	t.engine.host.Now = func() time.Time { panic(v) }
}
