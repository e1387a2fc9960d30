package modules_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/runner/modules"
)

// stored is a core that sends a module in chunks, and breaks off after so many
// pieces.
type stored struct {
	t        *testing.T
	wasm     []byte
	chunks   [][]byte
	cut      int // pieces in one request; zero means all
	dead     bool
	requests int
	sent     int // bytes of pieces
	verified int
	damaged  error // what verifying returns
	plain    int   // requests for the whole module
}

const piece = 1000

// random makes bytes that cannot be compressed much.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func store(t *testing.T, wasm []byte, chunk int) *stored {
	t.Helper()
	pack, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &stored{t: t, wasm: wasm}
	for rest := wasm; len(rest) > 0; {
		n := min(chunk, len(rest))
		s.chunks = append(s.chunks, pack.EncodeAll(rest[:n], nil))
		rest = rest[n:]
	}
	return s
}

func (s *stored) size() (n int) {
	for _, c := range s.chunks {
		n += len(c)
	}
	return n
}

func (s *stored) open(context.Context) (io.ReadCloser, error) { return &fetched{s: s}, nil }

type fetched struct {
	s *stored
	r *bytes.Reader
}

func (f *fetched) Read(p []byte) (int, error) {
	if f.r == nil {
		f.s.plain++
		f.r = bytes.NewReader(f.s.wasm)
	}
	return f.r.Read(p)
}

func (*fetched) Close() error { return nil }

func (f *fetched) Pieces(_ context.Context, from *runnerv1.ModuleChunk, verify bool, take func(*runnerv1.ModuleChunk, []byte) error) error {
	s := f.s
	s.requests++
	broken := fault.New(fault.CoreUnreachable, "broken off")
	if s.dead {
		return broken
	}
	if verify {
		if s.verified++; s.damaged != nil {
			return s.damaged
		}
	}
	pieces := 0
	for i := int(from.Index); i < len(s.chunks); i++ {
		off := 0
		if i == int(from.Index) {
			off = int(from.Offset)
		}
		for off < len(s.chunks[i]) {
			if pieces++; s.cut > 0 && pieces > s.cut {
				return broken
			}
			data := s.chunks[i][off:min(off+piece, len(s.chunks[i]))]
			if err := take(&runnerv1.ModuleChunk{Index: uint32(i), Offset: uint32(off), Size: uint32(len(s.chunks[i])), Count: uint32(len(s.chunks))}, data); err != nil {
				return err
			}
			off += len(data)
			s.sent += len(data)
		}
	}
	return nil
}

// left returns the names of the files in a directory, apart from modules.
func left(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".wasm") {
			names = append(names, f.Name())
		}
	}
	return names
}

func get(t *testing.T, c *modules.Cache, s *stored) error {
	t.Helper()
	b, err := c.Get(t.Context(), digest(s.wasm), uint64(len(s.wasm)), s.open)
	if err == nil && !bytes.Equal(b, s.wasm) {
		t.Errorf("got %d other bytes", len(b))
	}
	return err
}

func TestAFetchThatBreaksOffContinues(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, nil)
	s := store(t, random(20_000), 7_000)
	s.cut = 2
	must(t, get(t, c, s))
	if s.sent != s.size() {
		t.Errorf("%d bytes were sent, the module has %d in chunks", s.sent, s.size())
	}
	if s.requests < 10 || s.plain != 0 {
		t.Errorf("%d requests, %d for the whole module", s.requests, s.plain)
	}
	if names := left(t, dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	must(t, get(t, c, s)) // from the disk
}

func TestCompressedModulesTravelCompressed(t *testing.T) {
	s := store(t, bytes.Repeat([]byte("a module of many words "), 100_000), 512<<10)
	must(t, get(t, open(t, t.TempDir(), nil), s))
	if s.sent > len(s.wasm)/100 {
		t.Errorf("%d bytes were sent for a module of %d", s.sent, len(s.wasm))
	}
}

// A fetch continues also in the process after this, whether or not it ended in
// the middle of a chunk.
func TestAFetchContinuesInTheNextProcess(t *testing.T) {
	for name, cut := range map[string]int{"in a chunk": 3, "at the end of a chunk": 8, "before the end": 20, "all is there": 22} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := store(t, random(20_000), 7_000)
			first, err := modules.Open(modules.Config{Dir: dir})
			must(t, err)
			s.cut = cut
			arrived := 0
			_, err = first.Get(t.Context(), digest(s.wasm), uint64(len(s.wasm)), func(ctx context.Context) (io.ReadCloser, error) {
				return &dying{fetched{s: s}}, nil
			})
			if err == nil {
				t.Fatal("it was fetched")
			}
			arrived = s.sent
			first.Close()
			if names := left(t, dir); len(names) != 1 || !strings.HasPrefix(names[0], ".part-") {
				t.Fatalf("files: %v", names)
			}
			s.cut, s.dead = 0, false
			must(t, get(t, open(t, dir, nil), s))
			if s.sent != s.size() || arrived == 0 {
				t.Errorf("%d bytes arrived before, %d in all, the module has %d", arrived, s.sent, s.size())
			}
			if names := left(t, dir); len(names) != 0 {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

// dying never answers again after the first request.
type dying struct{ fetched }

func (d *dying) Pieces(ctx context.Context, from *runnerv1.ModuleChunk, verify bool, take func(*runnerv1.ModuleChunk, []byte) error) error {
	err := d.fetched.Pieces(ctx, from, verify, take)
	d.s.dead = true
	if err == nil {
		err = fault.New(fault.CoreUnreachable, "broken off at the end")
	}
	return err
}

// Whatever is in the file of a part: the module is right, or there is an error.
func TestAPartThatWasChangedIsNotUsed(t *testing.T) {
	s := store(t, random(20_000), 7_000)
	path := ".part-" + digest(s.wasm)
	for name, content := range map[string][]byte{
		"empty":          {},
		"nonsense":       bytes.Repeat([]byte{0xff}, 100),
		"another length": append([]byte{0, 0, 0, 5}, s.chunks[0]...),
		"zeros":          make([]byte, 5_000),
		"another module": append([]byte{0, 0, byte(len(s.chunks[0]) >> 8), byte(len(s.chunks[0]))}, bytes.Repeat([]byte{7}, len(s.chunks[0]))...),
		"another start":  append([]byte{0, 0, byte(len(s.chunks[0]) >> 8), byte(len(s.chunks[0]))}, 1, 2, 3),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, path), content, 0o600))
			must(t, get(t, open(t, dir, nil), s))
			if names := left(t, dir); len(names) != 0 {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

// If the digest does not match, the core is asked to look at the module once.
func TestAModuleThatIsDamagedInTheStore(t *testing.T) {
	dir := t.TempDir()
	s := store(t, random(5_000), 7_000)
	right := s.wasm
	s.chunks = store(t, random(4_000), 7_000).chunks
	s.wasm = right
	if err := get(t, open(t, dir, nil), s); !errors.Is(err, fault.Integrity) || s.requests != 2 || s.verified != 1 {
		t.Errorf("%v, after %d requests, %d of which verified", err, s.requests, s.verified)
	}
	s.damaged = fault.New(fault.Integrity, "module is damaged in the store")
	if err := get(t, open(t, dir, nil), s); err == nil || !strings.Contains(err.Error(), "damaged in the store") {
		t.Errorf("got %v", err)
	}
	if names := left(t, dir); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

func TestHostilePieces(t *testing.T) {
	wasm := random(3_000)
	good := store(t, wasm, 7_000).chunks[0]
	size := uint32(len(good))
	for name, at := range map[string]*runnerv1.ModuleChunk{
		"another chunk":   {Index: 1, Size: size, Count: 2},
		"another offset":  {Offset: 5, Size: size, Count: 1},
		"no size":         {Count: 1},
		"too large":       {Size: 1 << 30, Count: 1},
		"longer than it":  {Size: 10, Count: 1},
		"none of them":    {Size: size},
		"no zstd, though": {Size: uint32(len(wasm)), Count: 1},
	} {
		t.Run(name, func(t *testing.T) {
			data := good
			if name == "no zstd, though" {
				data = wasm
			}
			dir := t.TempDir()
			c := open(t, dir, nil)
			_, err := c.Get(t.Context(), digest(wasm), uint64(len(wasm)), func(context.Context) (io.ReadCloser, error) { return &liar{at: at, data: data}, nil })
			if !errors.Is(err, fault.Integrity) {
				t.Errorf("got %v", err)
			}
			if names := left(t, dir); len(names) != 0 {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

type liar struct {
	fetched
	at   *runnerv1.ModuleChunk
	data []byte
}

func (l *liar) Pieces(_ context.Context, _ *runnerv1.ModuleChunk, _ bool, take func(*runnerv1.ModuleChunk, []byte) error) error {
	return take(l.at, l.data)
}

// An endless module ends at the limit of a module.
func TestAModuleWithoutAnEnd(t *testing.T) {
	c := open(t, t.TempDir(), func(cfg *modules.Config) { cfg.MaxModule = 100_000 })
	e := &endless{chunk: store(t, random(50_000), 50_000).chunks[0]}
	if _, err := c.Get(t.Context(), digest(nil), 0, func(context.Context) (io.ReadCloser, error) { return e, nil }); !errors.Is(err, fault.Integrity) {
		t.Errorf("got %v", err)
	}
	if e.sent > 10<<20 {
		t.Errorf("%d bytes were taken", e.sent)
	}
}

type endless struct {
	fetched
	chunk []byte
	sent  int
}

func (e *endless) Pieces(_ context.Context, _ *runnerv1.ModuleChunk, _ bool, take func(*runnerv1.ModuleChunk, []byte) error) error {
	for i := uint32(0); ; i++ {
		if err := take(&runnerv1.ModuleChunk{Index: i, Size: uint32(len(e.chunk)), Count: 1 << 31}, e.chunk); err != nil {
			return err
		}
		e.sent += len(e.chunk)
	}
}

func TestFewPartsAreKept(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		name := filepath.Join(dir, ".part-"+strings.Repeat(string(rune('a'+i)), 64))
		must(t, os.WriteFile(name, []byte("x"), 0o600))
		when := time.Now().Add(-time.Duration(i) * 10 * time.Hour)
		must(t, os.Chtimes(name, when, when))
	}
	open(t, dir, nil)
	if names := left(t, dir); len(names) != 3 { // of the last 24 hours
		t.Errorf("left: %v", names)
	}
}

func TestModulesArriveWithinARate(t *testing.T) {
	c := open(t, t.TempDir(), func(cfg *modules.Config) { cfg.Rate = 100_000 })
	s := store(t, random(50_000), 7_000)
	began := time.Now()
	must(t, get(t, c, s))
	if took := time.Since(began); took < 400*time.Millisecond {
		t.Errorf("%d bytes at 100,000 a second took %s", s.sent, took)
	}
}

// Without a file for the parts, the module is fetched as a whole.
func TestWithoutAFileForTheParts(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir, nil)
	s := store(t, random(20_000), 7_000)
	must(t, os.Mkdir(filepath.Join(dir, ".part-"+digest(s.wasm)), 0o700))
	must(t, get(t, c, s))
	if s.plain != 1 || s.requests != 0 {
		t.Errorf("%d requests for chunks, %d for the whole", s.requests, s.plain)
	}
}
