package shelf

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/ruedo-dev/ruedo/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stock holds back chunks until the test lets them through.
type stock struct {
	chunks   []string
	reads    atomic.Int32
	let      chan error // nil: nothing is held back
	verified atomic.Int32
}

func (s *stock) shelf() *Shelf {
	return New(Config{
		Open: func(_ context.Context, digest string) (Module, error) {
			if digest == "gone" {
				return nil, fault.New(fault.ModuleNotFound, "gone")
			}
			return s, nil
		},
		Verify: func(context.Context, string) error {
			s.verified.Add(1)
			return fault.New(fault.Integrity, "damaged")
		},
	})
}

func (s *stock) Count() int { return len(s.chunks) }

func (s *stock) Packed(ctx context.Context, i int) ([]byte, error) {
	s.reads.Add(1)
	if s.let == nil {
		return []byte(s.chunks[i]), nil
	}
	select {
	case err := <-s.let:
		return []byte(s.chunks[i]), err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *stock) Plain(buf, packed []byte, _ int) ([]byte, error) {
	if strings.HasPrefix(string(packed), "damaged") {
		return nil, errors.New("damaged")
	}
	return append(buf[:0], bytes.ToUpper(packed)...), nil
}

type got struct {
	packed  string
	release func()
	err     error
}

func (s *Shelf) take(ctx context.Context, digest string, i int, to chan<- got) {
	packed, _, release, err := s.Chunk(ctx, digest, i)
	to <- got{string(packed), release, err}
}

func TestRunnersThatWantOneChunkShareOneReadOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &stock{chunks: []string{"a"}, let: make(chan error, 1)}
		s := st.shelf()
		all := make(chan got, 10)
		ctx, cancel := context.WithCancel(t.Context())
		go s.take(ctx, "m", 0, all)
		synctest.Wait()
		for range 9 {
			go s.take(t.Context(), "m", 0, all)
		}
		synctest.Wait()
		cancel() // the reading caller goes away; another one takes over
		if g := <-all; !errors.Is(g.err, context.Canceled) {
			t.Errorf("who went away got %v", g.err)
		}
		synctest.Wait()
		st.let <- nil
		for range 9 {
			g := <-all
			if g.err != nil || g.packed != "a" {
				t.Fatal(g)
			}
			g.release()
			g.release() // a second call does nothing
		}
		if n := st.reads.Load(); n != 2 || len(s.chunks) != 0 || len(s.used) != 0 {
			t.Errorf("%d reads, %d are kept, %d slots taken", n, len(s.chunks), len(s.used))
		}
	})
}

func TestFewChunksAreInMemoryAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &stock{chunks: strings.Split(strings.Repeat("x", 2*maxUsed), "")}
		s := st.shelf()
		all := make(chan got, 2*maxUsed)
		for i := range 2 * maxUsed {
			go s.take(t.Context(), "m", i, all)
		}
		for range 2 * maxUsed {
			synctest.Wait()
			if len(s.chunks) > maxUsed {
				t.Fatalf("%d chunks are in memory", len(s.chunks))
			}
			g := <-all
			if g.err != nil {
				t.Fatal(g.err)
			}
			g.release()
		}
		if len(s.chunks) != 0 || len(s.used) != 0 {
			t.Errorf("%d are kept, %d slots taken", len(s.chunks), len(s.used))
		}
	})
}

// A chunk that a slow runner still reads may be of a time before the repair.
func TestAfterVerifyingChunksAreReadAgain(t *testing.T) {
	st := &stock{chunks: []string{"old"}}
	s := st.shelf()
	_, _, old, err := s.Chunk(t.Context(), "m", 0)
	if err != nil {
		t.Fatal(err)
	}
	st.chunks[0] = "new"
	_ = s.Verify(t.Context(), "m")
	packed, _, release, err := s.Chunk(t.Context(), "m", 0)
	if string(packed) != "new" || err != nil {
		t.Errorf("%q, %v", packed, err)
	}
	old()
	release()
	if len(s.chunks) != 0 || len(s.used) != 0 {
		t.Errorf("%d are kept, %d slots taken", len(s.chunks), len(s.used))
	}
}

func TestFailuresAreNotKept(t *testing.T) {
	st := &stock{chunks: []string{"a"}, let: make(chan error, 1)}
	s := st.shelf()
	broken := errors.New("broken")
	st.let <- broken
	if _, _, _, err := s.Chunk(t.Context(), "m", 0); err != broken {
		t.Errorf("got %v", err)
	}
	if _, _, _, err := s.Chunk(t.Context(), "gone", 0); !errors.Is(err, fault.ModuleNotFound) {
		t.Errorf("got %v", err)
	}
	for _, i := range []int{-1, 2} {
		if _, _, _, err := s.Chunk(t.Context(), "m", i); !errors.Is(err, fault.RequestInvalid) {
			t.Errorf("chunk %d: %v", i, err)
		}
	}
	if len(s.chunks) != 0 || len(s.used) != 0 {
		t.Errorf("%d are kept, %d slots taken", len(s.chunks), len(s.used))
	}
	packed, n, release, err := s.Chunk(t.Context(), "m", 1) // the end
	if len(packed) != 0 || n != 1 || err != nil {
		t.Errorf("the end: %q of %d, %v", packed, n, err)
	}
	release()
}

func TestAModuleIsReadChunkByChunk(t *testing.T) {
	st := &stock{chunks: []string{"one", "two", "three"}}
	s := st.shelf()
	read := func(digest string) (string, error) {
		r, err := s.Module(t.Context(), digest)
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return string(b), err
	}
	right := fmt.Sprintf("%x", sha256.Sum256([]byte("ONETWOTHREE")))
	if got, err := read(right); got != "ONETWOTHREE" || err != nil || st.verified.Load() != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := read("gone"); !errors.Is(err, fault.ModuleNotFound) {
		t.Errorf("got %v", err)
	}
	// The store learns of damage.
	if _, err := read("other"); !errors.Is(err, fault.Integrity) || st.verified.Load() != 1 {
		t.Errorf("another digest: %v, verified %d times", err, st.verified.Load())
	}
	st.chunks[1] = "damaged two"
	if _, err := read("x"); !errors.Is(err, fault.Integrity) || st.verified.Load() != 2 {
		t.Errorf("damaged: %v, verified %d times", err, st.verified.Load())
	}
}
