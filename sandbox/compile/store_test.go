package compile_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sandbox/compile"
	"github.com/tetratelabs/wazero"
)

const magicNumber = 0x11223344

// entries returns the files of code in a cache directory.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.code"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// entryOf compiles a module and returns its file.
func entryOf(t testing.TB, dir string, wasm []byte, want uint64) string {
	t.Helper()
	before := entries(t, dir)
	c := open(t, func(cfg *compile.Config) { cfg.Dir = dir })
	got, report := run(t, c, wasm)
	if got != want || report.Hit {
		t.Fatalf("f gives %d, want %d; %+v", got, want, report)
	}
	for _, e := range entries(t, dir) {
		if !contains(before, e) {
			return e
		}
	}
	t.Fatal("there is no new entry")
	return ""
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// corrupt changes the constant in native code that wazero wrote, and its
// checksum, so that wazero accepts it: f then returns evil.
func corrupt(t testing.TB, file []byte, evil uint32) []byte {
	t.Helper()
	file = bytes.Clone(file)
	at := bytes.Index(file, []byte("WAZEVO"))
	if at < 0 {
		t.Fatal("no code of wazero in it")
	}
	p := at + 6
	p += 1 + int(file[p])
	p += 4 + 8*int(binary.LittleEndian.Uint32(file[p:]))
	n := int(binary.LittleEndian.Uint64(file[p:]))
	code := file[p+8 : p+8+n]
	constant := binary.LittleEndian.AppendUint32(nil, magicNumber)
	i := bytes.Index(code, constant)
	if i < 0 {
		t.Skip("the constant is not in one piece in this architecture's code")
	}
	binary.LittleEndian.PutUint32(code[i:], evil)
	binary.LittleEndian.PutUint32(file[p+8+n:], crc32.Checksum(code, crc32.MakeTable(crc32.Castagnoli)))
	return file
}

// Without our seal, wazero executes whatever is in its cache. If this fails,
// the tests of tampered code prove nothing.
func TestWazeroAloneExecutesTamperedCode(t *testing.T) {
	dir := t.TempDir()
	ctx := t.Context()
	once := func() uint64 {
		cache, err := wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer cache.Close(ctx)
		rt := wazero.NewRuntimeWithConfig(ctx, config().WithCompilationCache(cache))
		defer rt.Close(ctx)
		m, err := rt.CompileModule(ctx, returns(magicNumber))
		if err != nil {
			t.Fatal(err)
		}
		return answerOf(t, rt, m)
	}
	if got := once(); got != magicNumber {
		t.Fatalf("got %x", got)
	}
	all := files(t, dir)
	if len(all) != 1 {
		t.Fatalf("wazero wrote %v", all)
	}
	write(t, all[0], corrupt(t, read(t, all[0]), 0x666))
	if got := once(); got != 0x666 {
		t.Fatalf("got %x from tampered code, want 666", got)
	}
}

func TestWhatIsNotAuthenticIsNeverExecuted(t *testing.T) {
	const other = 0x55667788
	for name, tamper := range map[string]func(t *testing.T, entry, otherEntry string){
		"code changed, checksum right": func(t *testing.T, entry, _ string) {
			write(t, entry, corrupt(t, read(t, entry), 0x666))
		},
		"one bit of the code": func(t *testing.T, entry, _ string) {
			b := read(t, entry)
			b[len(b)/2] ^= 1
			write(t, entry, b)
		},
		"one bit of the seal": func(t *testing.T, entry, _ string) {
			b := read(t, entry)
			b[len(b)-1] ^= 0x80
			write(t, entry, b)
		},
		"truncated": func(t *testing.T, entry, _ string) {
			b := read(t, entry)
			write(t, entry, b[:len(b)-40])
		},
		"empty": func(t *testing.T, entry, _ string) { write(t, entry, nil) },
		"longer": func(t *testing.T, entry, _ string) {
			write(t, entry, append(read(t, entry), make([]byte, 100)...))
		},
		"another module's entry": func(t *testing.T, entry, otherEntry string) {
			write(t, entry, read(t, otherEntry))
		},
		"another version's name": func(t *testing.T, entry, _ string) {
			b := read(t, entry)
			i := bytes.Index(b, []byte("wazero-"))
			b[i+len("wazero-")]++
			write(t, entry, b)
		},
		"a name that leads out": func(t *testing.T, entry, _ string) {
			b := read(t, entry)
			copy(b[bytes.Index(b, []byte("wazero-")):], "../../../")
			write(t, entry, b)
		},
		"a link": func(t *testing.T, entry, otherEntry string) {
			if err := os.Remove(entry); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(otherEntry, entry); err != nil {
				t.Fatal(err)
			}
		},
		"a directory": func(t *testing.T, entry, _ string) {
			if err := os.Remove(entry); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(entry, "full"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "modules")
			entry := entryOf(t, dir, returns(magicNumber), magicNumber)
			tamper(t, entry, entryOf(t, dir, returns(other), other))
			heard := &testkit.Log{}
			c := open(t, func(cfg *compile.Config) { cfg.Dir, cfg.Logger = dir, heard.Logger() })
			got, report := run(t, c, returns(magicNumber))
			if got != magicNumber {
				t.Fatalf("f gives %x: tampered code was executed", got)
			}
			if report.Hit || report.Compile == 0 {
				t.Errorf("it was not compiled again: %+v", report)
			}
			if s := c.Stats(); s.Refused != 1 || s.Compiled != 1 || s.Loaded != 0 {
				t.Errorf("got %+v", s)
			}
			if !strings.Contains(heard.String(), "INTEGRITY") || !strings.Contains(heard.String(), "level=WARN") {
				t.Errorf("logged: %s", heard)
			}
			// Its replacement is valid.
			c = open(t, func(cfg *compile.Config) { cfg.Dir = dir })
			if got, report := run(t, c, returns(magicNumber)); got != magicNumber || !report.Hit {
				t.Errorf("afterwards: %x, %+v", got, report)
			}
		})
	}
}

func TestAnotherKeyMakesEntriesForeign(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "modules")
	entryOf(t, dir, returns(1), 1)
	key := filepath.Join(dir+".private", "key")
	if st, err := os.Stat(key); err != nil || st.Mode().Perm() != 0o600 || st.Size() != 32 {
		t.Fatalf("the key: %v, %v", st, err)
	}
	// A key that others could read is no longer used.
	old := read(t, key)
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	c := open(t, func(cfg *compile.Config) { cfg.Dir = dir })
	if _, report := run(t, c, returns(1)); report.Hit || c.Stats().Refused != 1 {
		t.Errorf("got %+v, %+v", report, c.Stats())
	}
	if bytes.Equal(old, read(t, key)) {
		t.Error("the key is the old one")
	}
	write(t, key, []byte("short"))
	c = open(t, func(cfg *compile.Config) { cfg.Dir = dir })
	if _, report := run(t, c, returns(1)); report.Hit {
		t.Errorf("got %+v", report)
	}
}

func TestThePrivateDirectoryMustLieOutside(t *testing.T) {
	dir := t.TempDir()
	for _, private := range []string{dir, filepath.Join(dir, "private")} {
		_, err := compile.New(compile.Config{Runtime: config, Dir: dir, Private: private})
		if err == nil || !strings.Contains(err.Error(), "must not lie in") {
			t.Errorf("%s: got %v", private, err)
		}
	}
}

func TestDirectoriesAreClosedToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "modules")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	entryOf(t, dir, returns(1), 1)
	for _, d := range []string{dir, dir + ".private"} {
		if st, err := os.Stat(d); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, st.Mode(), err)
		}
	}
	for _, f := range files(t, dir) {
		if st, err := os.Stat(f); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, st.Mode(), err)
		}
	}
}

// Two runners of one machine get the same module at the same time: one compiles
// it, and the other one takes the code.
func TestCompilersOfOneDirectoryCompileOnce(t *testing.T) {
	wasm, err := goGuest()
	if err != nil {
		t.Fatal(err)
	}
	dir, child := filepath.Join(t.TempDir(), "modules"), plain(t)
	var all []*compile.Compiler
	var done sync.WaitGroup
	for range 3 {
		c := open(t, func(cfg *compile.Config) {
			cfg.Dir, cfg.Command = dir, child
			cfg.Timeout = 10 * time.Minute // a quarter of it is how long one waits for another
		})
		all = append(all, c)
		done.Go(func() {
			p, err := c.Prepare(t.Context(), wasm, compile.Usual)
			if err != nil {
				t.Error(err)
				return
			}
			p.Release()
		})
	}
	done.Wait()
	var sum compile.Stats
	for _, c := range all {
		sum.Compiled += c.Stats().Compiled
		sum.Loaded += c.Stats().Loaded
	}
	if sum.Compiled != 1 || sum.Loaded != 2 {
		t.Errorf("%+v", sum)
	}
	if claims, err := filepath.Glob(filepath.Join(dir+".private", "claim-*")); err != nil || len(claims) != 0 {
		t.Errorf("left: %v, %v", claims, err)
	}
}
