package absent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write writes files, each path followed by its content, and returns their
// directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// found returns findings as lines, with paths from dir.
func found(dir string, list []Finding) (lines []string) {
	for _, f := range list {
		for _, u := range f.Uses {
			lines = append(lines, string(f.Thing)+": "+strings.TrimPrefix(filepath.ToSlash(u.String()), filepath.ToSlash(dir)+"/"))
		}
	}
	return lines
}

// program is a main package with one file: imports on line 3, statements of a
// handler from line 5.
func program(imports, body string) map[string]string {
	return map[string]string{"go.mod": "module example.com/p\n", "main.go": fmt.Sprintf("package main\n\nimport %s\n\n%s\n", imports, body)}
}

func TestWhatTheAuthorUsesIsFound(t *testing.T) {
	for name, tt := range map[string]struct {
		imports, body string
		command       bool
		want          []string
	}{
		"dialling":             {`"net"`, `func f() { net.Dial("tcp", "x:1") }`, false, []string{"network: main.go:5 net.Dial"}},
		"a dialer":             {`"net"`, `var d = &net.Dialer{}`, false, []string{"network: main.go:5 net.Dialer"}},
		"a type of net":        {`"net"`, `func f(ip net.IP, c net.Conn) string { return net.JoinHostPort("a", "1") }`, false, nil},
		"a client":             {`"net/http"`, `func f() { (&http.Client{}).Get("") }`, false, []string{"network: main.go:5 net/http.Client"}},
		"a client, zero":       {`"net/http"`, `var c http.Client`, false, []string{"network: main.go:5 net/http.Client"}},
		"a client, new":        {`"net/http"`, `var c = new(http.Client)`, false, []string{"network: main.go:5 net/http.Client"}},
		"a client of others":   {`"net/http"`, `func f(c *http.Client) *http.Request { return nil }`, false, nil},
		"a client on memory":   {`"net/http"`, `func f(r http.RoundTripper) { g(&http.Client{Transport: r}) }`, false, nil},
		"statuses and headers": {`"net/http"`, `func f(h http.Header) int { return http.StatusOK }`, false, nil},
		"a server":             {`h "net/http"`, `func f() { h.ListenAndServe("", nil) }`, false, []string{"network: main.go:5 net/http.ListenAndServe"}},
		"files":                {`"os"`, "func f() { os.ReadFile(p); g(os.Open) }\nfunc h() { os.WriteFile(p, nil, 0) }", false, []string{"files: main.go:5 os.ReadFile", "files: main.go:5 os.Open", "files: main.go:6 os.WriteFile"}},
		"no files":             {`"os"`, `func f() { os.Getenv("A"); os.Exit(1); os.Stderr.Write(nil); os.IsNotExist(nil) }`, false, nil},
		"a variable named os":  {`"os"`, `func f(os thing) { os.Open("a") }`, false, nil},
		"templates":            {`"html/template"`, `var t = template.Must(template.ParseFiles("a"))`, false, []string{"files: main.go:5 html/template.ParseFiles"}},
		"a program":            {`"os/exec"`, `func f() { exec.Command("ls") }`, false, []string{"processes: main.go:5 os/exec.Command"}},
		"a zone":               {`"time"`, `func f(s string) { time.LoadLocation(s) }`, false, []string{"time zones: main.go:5 time.LoadLocation"}},
		"a zone that is there": {`"time"`, `func f() { time.LoadLocation("UTC") }`, false, nil},

		"frozen":                 {`"math/rand"`, `func f() { rand.Intn(6) }`, false, []string{"random numbers: main.go:5 math/rand.Intn"}},
		"frozen, v2":             {`"math/rand/v2"`, `func f() { rand.N(6) }`, false, []string{"random numbers: main.go:5 math/rand/v2.N"}},
		"in a command":           {`"math/rand/v2"`, `func f() { rand.N(6) }`, true, nil},
		"seeded in the call":     {`"math/rand"`, `func f() { rand.Seed(1); rand.Intn(6) }`, false, nil},
		"a source in the call":   {`"math/rand/v2"`, `func f() { rand.New(rand.NewPCG(1, 2)).IntN(6) }`, false, nil},
		"a source at the start":  {`"math/rand/v2"`, `var r = rand.New(rand.NewPCG(1, 2))`, false, []string{"random numbers: main.go:5 math/rand/v2.New"}},
		"a key at the start":     {`"crypto/rand"`, "var k = make([]byte, 8)\n\nfunc init() { rand.Read(k) }", false, []string{"start: main.go:7 crypto/rand.Read"}},
		"a key in a command":     {`"crypto/rand"`, `func init() { rand.Read(nil) }`, true, nil},
		"a key in the call":      {`"crypto/rand"`, `func init() { handle(func() { rand.Read(nil) }) }`, false, nil},
		"the time at the start":  {`"time"`, `var began = time.Now()`, false, []string{"start: main.go:5 time.Now"}},
		"the time in the call":   {`"time"`, `func f() time.Time { return time.Now() }`, false, nil},
		"main of a function":     {`"os"`, `func main() { os.Open("a") }`, false, nil},
		"main of a command":      {`"os"`, `func main() { os.Open("a") }`, true, []string{"files: main.go:5 os.Open"}},
		"what does not compile":  {`"os"`, `func f() { os.Open( }`, false, nil},
		"nothing that has rules": {`"fmt"`, `func f() { fmt.Println() }`, false, nil},
	} {
		dir := write(t, program(tt.imports, tt.body))
		if got := found(dir, Source(dir, Options{Command: tt.command})); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestZonesInTheModuleAreEnough(t *testing.T) {
	dir := write(t, program(`"time"`, `func f(s string) { time.LoadLocation(s) }`))
	if got := Source(dir, Options{Zones: true}); got != nil {
		t.Errorf("%v", got)
	}
	if !HasZones([]byte("... America/Argentina/ComodRivadavia ...")) || HasZones([]byte("Europe/Berlin")) {
		t.Error("zones are not recognized")
	}
}

// What others wrote is not read, and neither are tests, files for other systems,
// and the SDK next to the service.
func TestOnlyPackagesOfTheAuthorAreRead(t *testing.T) {
	const open = "package x\n\nimport \"os\"\n\nfunc F() { os.Open(\"a\") }\n"
	dir := write(t, map[string]string{
		"go.mod": "module example.com/p\n\ngo 1.26\n\nrequire (\n\texample.com/lib v0.0.0\n\texample.com/other v1.0.0\n\tgithub.com/ruedo-dev/ruedo v0.0.0\n)\n\n" +
			"replace example.com/lib => ./lib\n\nreplace github.com/ruedo-dev/ruedo => ./ruedo-sdk\n",
		"cmd/s/main.go":                              "package main\n\nimport (\n\t_ \"example.com/p/in\"\n\t_ \"example.com/lib/deep\"\n\t_ \"example.com/other\"\n\t_ \"github.com/ruedo-dev/ruedo/sdk\"\n\t_ \"github.com/ruedo-dev/ruedo/sdk/web\"\n)\n",
		"cmd/s/main_test.go":                         open,
		"cmd/s/main_linux.go":                        open,
		"cmd/s/native.go":                            "//go:build !wasip1\n\n" + open,
		"in/in.go":                                   open,
		"notimported/x.go":                           open,
		"vendor/example.com/other/x.go":              open,
		"lib/go.mod":                                 "module example.com/lib\n",
		"lib/deep/x.go":                              open,
		"ruedo-sdk/go.mod":                           "module github.com/ruedo-dev/ruedo\n",
		"ruedo-sdk/sdk/sdk.go":                       open,
		"ruedo-sdk/sdk/web/web.go":                   open,
		filepath.ToSlash("cmd/s/testdata/x/main.go"): open,
	})
	got := found(dir, Source(filepath.Join(dir, "cmd", "s"), Options{}))
	if want := []string{"files: lib/deep/x.go:5 os.Open", "files: in/in.go:5 os.Open"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAFindingSaysWhereWhatAndWhatToDo(t *testing.T) {
	dir := write(t, program(`"os"`, strings.Repeat("func f() { os.Open(p) }\n", 5)))
	list := Source(dir, Options{})
	if len(list) != 1 {
		t.Fatalf("%v", list)
	}
	main := filepath.Join(dir, "main.go")
	want := main + ":5 os.Open, " + main + ":6 os.Open, " + main + ":7 os.Open, and 2 more: a service has no files: / is empty and cannot be changed; " +
		"pass the content as input or environment, embed it with go:embed, or keep it in memory"
	if got := list[0].String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	// A line above it changes no key.
	data, err := os.ReadFile(main)
	if err == nil {
		err = os.WriteFile(main, append([]byte("// A comment.\n"), data...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if again := Source(dir, Options{}); again[0].Key() != list[0].Key() || again[0].Uses[0].Line != 6 {
		t.Errorf("%v", again)
	}
}

func TestModulesAreJudgedByTheirImports(t *testing.T) {
	imports := []string{"ruedo.output_write", "wasi_snapshot_preview1.fd_write", "wasi_snapshot_preview1.path_open", "wasi_snapshot_preview1.sock_send"}
	got := Module([]byte("\x00asm"), imports, false)
	if len(got) != 2 || got[0].Thing != network || got[0].Uses[0].String() != "sock_send" || got[1].Thing != files {
		t.Errorf("%v", got)
	}
	if got := Module([]byte("... processed-by\x01\x0eGo cmd/compile\x08go1.26.8"), imports, false); got != nil {
		t.Errorf("built by Go: %v", got)
	}
	if got := Module(nil, imports[:2], false); got != nil {
		t.Errorf("%v", got)
	}
}

// A module of sdk/web asks the host for the network, which takes a grant.
func TestTheNetworkOfTheHostTakesAGrant(t *testing.T) {
	const body = "func f() { http.Get(u); (&http.Client{}).Get(u); web.Dial(c, n, a); net.Dial(n, a) }"
	dir := write(t, program("(\n\"net\"; \"net/http\"; \"github.com/ruedo-dev/ruedo/sdk/web\"\n)", body))
	want := []string{"network: main.go:7 net.Dial", "grant: main.go:7 net/http.Get", "grant: main.go:7 net/http.Client", "grant: main.go:7 github.com/ruedo-dev/ruedo/sdk/web.Dial"}
	if got := found(dir, Source(dir, Options{Dials: true})); !slices.Equal(got, want) {
		t.Errorf("without a grant: %q, want %q", got, want)
	}
	if got := found(dir, Source(dir, Options{Dials: true, Granted: true})); !slices.Equal(got, want[:1]) {
		t.Errorf("with a grant: %q", got)
	}
	imports := []string{"ruedo.stream_open"}
	if got := Module(nil, imports, false); len(got) != 1 || got[0].Thing != outbound || !strings.Contains(got[0].String(), "stream_open: no decorator of the service grants it the network") {
		t.Errorf("%v", got)
	}
	if got := Module(nil, imports, true); got != nil {
		t.Errorf("with a grant: %v", got)
	}
	if !Dials(imports) || Dials([]string{"ruedo.output_write"}) {
		t.Error("the import is not recognized")
	}
}
