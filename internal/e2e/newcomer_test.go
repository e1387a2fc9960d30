//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ruedo-dev/ruedo/internal/testkit"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// library is what one of the services uses. The repository needs it too, so that
// `go mod download` fetches it.
const library = "github.com/goccy/go-yaml"

// TestNewcomer does what somebody does on a first day who has the docs and the
// program, and not the repository: write services outside of it, test, publish,
// call, break, understand and mend them, against a cluster of `ruedo dev`. The
// services are in testdata/newcomer. It needs no network if the module cache has
// the library.
func TestNewcomer(t *testing.T) {
	version := cached(t)
	term := firstDay(t)
	for name, write := range map[string]func(terminal){
		"orders": orders, "sales": sales, "rows": rows,
		"manifests": func(term terminal) { manifests(term, version) },
		"watched":   watched,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			write(term.cd(t, ""))
		})
	}
}

// cached returns the version of the library, which is in the module cache
// afterwards. Only this needs the network, if it is not there yet.
func cached(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", library)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	var module struct{ Version, Error string }
	if jsonErr := json.Unmarshal(out, &module); err != nil || jsonErr != nil || module.Version == "" {
		t.Fatalf("the module cache does not have %s, and it cannot be fetched (%v %s): run `go mod download` once with a network", library, err, module.Error)
	}
	return module.Version
}

// firstDay starts a cluster and returns a terminal in an empty directory outside
// of the repository, whose environment reaches no network.
func firstDay(t *testing.T) terminal {
	t.Helper()
	dir := t.TempDir()
	for above := dir; above != filepath.Dir(above); above = filepath.Dir(above) {
		if _, err := os.Stat(filepath.Join(above, "go.mod")); err == nil {
			t.Fatalf("the directory for temporary files is in the Go module %s: set TMPDIR to another one", above)
		}
	}
	env := []string{
		"HOME=" + t.TempDir(), "NO_COLOR=1", "RUEDO_SERVER_PORT=0",
		"RUEDO_RUNNER_COMPILE_TIME=1m", // a busy machine is no failure
		"GOCACHE=" + goEnv(t, "GOCACHE"), "GOMODCACHE=" + goEnv(t, "GOMODCACHE"),
		"GOPROXY=off", "GOSUMDB=off", "GOFLAGS=-trimpath -vet=off", "GOWORK=", "GOENV=off", "GOTOOLCHAIN=local",
	}
	term := terminal{t: t, dir: dir, env: append(clean(os.Environ()), env...)}
	term, _ = term.dev()
	return term
}

// dev starts a cluster with `ruedo dev`, and returns a terminal whose commands
// use it. The cluster ends with the test.
func (term terminal) dev(args ...string) (terminal, *process) {
	t := term.t
	t.Helper()
	dev := start(t, term.env, binary(t, "ruedo"), append([]string{"dev"}, args...)...)
	address := regexp.MustCompile(`core +(http://\S+)`)
	testkit.Within(t, 30*time.Second, "the cluster is ready", func() bool {
		if m := address.FindStringSubmatch(dev.output()); m != nil {
			term.url = m[1]
			return true
		}
		return false
	})
	t.Cleanup(func() {
		dev.signal(t, os.Interrupt)
		if code := dev.wait(t, 20*time.Second); code != 0 {
			t.Errorf("ruedo dev exits with %d after Ctrl-C", code)
		}
	})
	term.env = append(slices.Clip(term.env), "RUEDO_CLIENT_HOST="+term.url)
	return term, dev
}

// project makes a new service, replaces what `ruedo new` wrote with the files of
// testdata, and returns a terminal in its directory.
func (term terminal) project(name string) terminal {
	term.t.Helper()
	term.ruedo("new", name).ok("created "+name+"/", "next: ruedo publish")
	term = term.cd(term.t, name)
	files, err := filepath.Glob(filepath.Join("testdata", "newcomer", name, "*"))
	if err != nil || len(files) == 0 {
		term.t.Fatal(files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			term.t.Fatal(err)
		}
		term.write(filepath.Base(file), string(b))
	}
	return term
}

// tested runs the service's own tests.
func (term terminal) tested() {
	term.t.Helper()
	term.run("go", "vet", "./...").ok()
	term.run("go", "test", "./...").ok("ok")
}

// connect calls a service over Connect, in JSON as with curl.
func (term terminal) connect(request string) reply {
	term.t.Helper()
	return term.post("/ruedo.v1.InvokeService/Invoke", "application/json", request)
}

// bytesRequest is the request over Connect for a service that takes CSV.
func bytesRequest(service, csv string) string {
	return `{"service":"` + service + `","contentType":"text/csv","bytes":"` + base64.StdEncoding.EncodeToString([]byte(csv)) + `"}`
}

// csv returns about 3 MB of CSV, and what the service sales answers for it.
func csv() (text, summary string) {
	var b strings.Builder
	fmt.Fprintln(&b, "day,region,product,pieces,cents")
	type region struct {
		Rows   int   `json:"rows"`
		Pieces int64 `json:"pieces"`
		Cents  int64 `json:"cents"`
	}
	names := [...]string{"north", "south", "east", "west"}
	products := [...]string{"pen", `"ink, blue"`, "paper"}
	regions := make(map[string]region)
	rows, total := 0, int64(0)
	for ; b.Len() < 3_000_000; rows++ {
		pieces, cents := int64(rows%7+1), int64(100+rows%13)
		name := names[rows%len(names)]
		fmt.Fprintf(&b, "2026-%02d-%02d,%s,%s,%d,%d\n", rows%12+1, rows%28+1, name, products[rows%len(products)], pieces, cents)
		r := regions[name]
		regions[name] = region{r.Rows + 1, r.Pieces + pieces, r.Cents + pieces*cents}
		total += pieces * cents
	}
	best := names[0]
	for _, name := range names {
		if regions[name].Cents > regions[best].Cents {
			best = name
		}
	}
	out, err := json.Marshal(map[string]any{
		"rows": rows, "from": "2026-01-01T00:00:00Z", "to": "2026-12-28T00:00:00Z", "cents": total, "regions": regions, "best": best,
	})
	if err != nil {
		panic(err) // a map of numbers and texts
	}
	return b.String(), string(out)
}

// order is an order that the service accepts.
const order = `{
  "id": "A-1", "placed": "2026-03-06T09:30:00Z", "note": "ring twice",
  "customer": {"name": "Ada", "address": {"street": "Ring 1", "city": "Wien", "country": "AT"}},
  "lines": [{"sku": "pen", "quantity": 3, "cents": 250}, {"sku": "ink", "quantity": 1, "cents": 1000, "discount": 10}]
}`

// confirmed is the answer to order, with the price of a parcel.
func confirmed(parcel int) string {
	return fmt.Sprintf(`{"id":"A-1","status":"accepted","lines":[{"sku":"pen","cents":750},{"sku":"ink","cents":900}],
		"cents":{"goods":1650,"shipping":%d,"total":%d},"ship_by":"2026-03-09T18:00:00Z","pieces":{"ink":1,"pen":3},"note":"ring twice"}`, parcel, 1650+parcel)
}

// orders is the service with nested JSON, enums, times and errors of its own.
func orders(term terminal) {
	t := term.t
	term = term.project("orders")
	term.write("order.json", order)
	term.tested()
	term.ruedo("check", "--calls", "cases.yaml").ok("orders can be published")
	term.ruedo("publish").ok("published orders: revision 1")

	t.Run("call", func(t *testing.T) { callOrders(term.cd(t, "")) })
	t.Run("errors", func(t *testing.T) { orderErrors(term.cd(t, "")) })
	t.Run("change", func(t *testing.T) { changeOrders(term.cd(t, "")) })
	t.Run("decorator", func(t *testing.T) { decorateOrders(term.cd(t, "")) })
}

func callOrders(term terminal) {
	t := term.t
	got := term.ruedo("call", "orders", "-d", "@order.json").ok("INFO confirmed order=A-1 lines=2")
	sameJSON(t, "the output of ruedo call", got.out, confirmed(990))
	term.ruedo("call", "orders", "-d", "@order.json", "--set", "priority=express", "--set", "lines.0.quantity=4", "-i").
		ok(`"ship_by":"2026-03-06T13:30:00Z"`, `{"sku":"pen","cents":1000}`, "revision: 1")
	term.ruedo("call", "orders", "--use").ok("customer.address.country", "lines[].sku", "standard", "express", "date-time",
		"standard|express", "accepted|review", "When the customer ordered.", "The price of one piece. (at least 0)", "Priority says how soon an order leaves.")
	term.ruedo("describe", "service", "orders").ok("Confirms orders.", "orders-input", "64 MiB")

	curl := term.post("/call/orders", form, order).is(200)
	sameJSON(t, "the answer to curl", curl.body, confirmed(990))
	logs, err := base64.StdEncoding.DecodeString(curl.header.Get("Ruedo-Logs"))
	if err != nil || !strings.Contains(string(logs), "confirmed order=A-1") || curl.header.Get("Content-Type") != "application/json" {
		t.Errorf("curl gets %v, %v", curl.header, err)
	}
	var connect struct {
		Output json.RawMessage
		Info   struct{ CallID string }
	}
	term.connect(`{"service":"orders","input":` + order + `}`).is(200).decode(&connect)
	sameJSON(t, "the answer over Connect", string(connect.Output), confirmed(990))
	res, err := client.New(term.url).Call(t.Context(), "orders", []byte(order), client.WithLogs())
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "the answer of the Go client", string(res.Output), confirmed(990))

	var self struct {
		Name, Description string
		Revision          json.Number
		Example           struct{ ID string }
		Input             map[string]any `json:"input_schema"`
		Output            map[string]any `json:"output_schema"`
	}
	term.get("/call/orders").is(200).decode(&self)
	if self.Name != "orders" || self.Description != "Confirms orders." || self.Revision != "1" || self.Example.ID != "A-0" {
		t.Errorf("GET says %+v", self)
	}
	// Nobody wrote a schema: this is what the types say.
	for path, want := range map[string]string{
		"additionalProperties": `false`,
		"required":             `["id","placed","customer","lines"]`,
		"properties placed":    `{"type":"string","format":"date-time","description":"When the customer ordered."}`,
		"properties priority":  `{"type":"string","enum":["standard","express"],"description":"Priority says how soon an order leaves. Default: standard."}`,
		"properties customer properties address properties country": `{"type":"string","minLength":2,"maxLength":2,"pattern":"^[a-zA-Z]+$","description":"An ISO 3166 code."}`,
		"properties lines items properties cents":                   `{"type":"integer","minimum":0,"description":"The price of one piece."}`,
	} {
		sameJSON(t, "the input schema at "+path, within(t, self.Input, path), want)
	}
	sameJSON(t, "the output schema", within(t, self.Output, "properties status"), `{"type":"string","enum":["accepted","review"],"description":"Status is what becomes of an order."}`)

	var printed map[string]json.RawMessage
	if err := json.Unmarshal([]byte(term.ruedo("call", "orders", "-d", "@order.json", "-o", "json").ok().out), &printed); err != nil {
		t.Fatal("ruedo call -o json does not print one object:", err)
	}
	if keys := slices.Sorted(maps.Keys(printed)); !slices.Equal(keys, []string{"content_type", "exit_code", "info", "logs", "output"}) {
		t.Errorf("ruedo call -o json has the fields %v", keys)
	}
	sameJSON(t, "the output of ruedo call -o json", string(printed["output"]), confirmed(990))
	if logs := string(printed["logs"]); !strings.Contains(logs, "confirmed order=A-1") || !strings.Contains(string(printed["info"]), `"revision":`) {
		t.Errorf("ruedo call -o json has the logs %s and the info %s", logs, printed["info"])
	}
	for _, id := range []string{connect.Info.CallID, curl.header.Get("Ruedo-Call-Id"), res.Info.GetCallId()} {
		term.ruedo("logs", "--call", id).ok(id, "confirmed order=A-1")
	}
	if n := strings.Count(term.ruedo("logs", "orders").ok().out, "confirmed order=A-1"); n < 5 {
		t.Errorf("ruedo logs has %d of 5 calls", n)
	}
}

// within returns the JSON of what is in a schema, at the keys of a path.
func within(t *testing.T, schema map[string]any, path string) string {
	t.Helper()
	var at any = schema
	for key := range strings.FieldsSeq(path) {
		inner, _ := at.(map[string]any)
		at = inner[key]
	}
	b, err := json.Marshal(at)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func orderErrors(term terminal) {
	call := func(fields ...string) answer {
		term.t.Helper()
		args := []string{"call", "orders", "-d", "@order.json"}
		for _, f := range fields {
			args = append(args, "--set", f)
		}
		return term.ruedo(args...)
	}
	// Each field that is wrong is named, wherever it is.
	call("lines.1.quantity=0", "customer.address.country=Austria", "priority=soon").
		exits(8, "(3 fields)", "lines[1].quantity: ", "customer.address.country: ", `priority: must be one of "standard", "express"`, "fix: ruedo call orders --use")
	call("colour=red").exits(8, "colour", "priority")
	call("placed=yesterday").exits(8, "placed: is not a valid date-time")
	// So are the service's own, with their codes.
	call("customer.address.country=KP").exits(10, "we do not ship to KP", "failed_precondition", "logs: ruedo logs --call ")
	call("lines.1.sku=pen").exits(10, "lines[1]: pen is there twice", "invalid_argument")

	far := strings.Replace(order, `"AT"`, `"KP"`, 1)
	var failure struct{ Code, Reason, Message string }
	term.post("/call/orders", form, far).is(400).decode(&failure)
	if failure.Code != "failed_precondition" || failure.Reason != "GUEST_ERROR" || !strings.Contains(failure.Message, "we do not ship to KP") {
		term.t.Errorf("curl gets %+v", failure)
	}
	term.post("/call/orders", form, `{"id":7}`).is(400, `"INPUT_INVALID"`, `"field":"id"`, `"field":"lines"`)
	term.post("/call/orders", form, `{"id":`).is(400, "INPUT_INVALID")
	term.connect(`{"service":"orders","input":`+far+`}`).is(400, `"failed_precondition"`, "we do not ship to KP")
	term.connect(`{"service":"ordres","input":{}}`).is(404, `"not_found"`, "did you mean orders?")
	_, err := client.New(term.url).Call(term.t.Context(), "orders", []byte(`{"id":"A-1"}`))
	if p := client.Explain(err); p.Reason != "INPUT_INVALID" || p.Fields["customer"] == "" || p.Fields["lines"] == "" {
		term.t.Errorf("the Go client gets %+v", p)
	}
	term.ruedo("call", "ordres").exits(3, "did you mean orders?")
}

func changeOrders(term terminal) {
	calls := func(service string, parcel int) {
		term.t.Helper()
		sameJSON(term.t, service, term.ruedo("call", service, "-d", "@order.json").ok().out, confirmed(parcel))
	}
	term.ruedo("publish").ok("unchanged")
	term.edit("main.go", `"AT": 990`, `"AT": 890`)
	term.run("go", "test", "./...").exits(1, "990")
	term.edit("main_test.go", "Shipping: 990, Total: 2640", "Shipping: 890, Total: 2540")
	term.tested()
	term.ruedo("publish").ok("published orders: revision 2")
	calls("orders", 890)
	calls("orders@1", 990)

	// A build error is shown with its file, and the live revision stays live.
	term.edit("main.go", `"AT": 890`, `"AT": "free"`)
	term.ruedo("publish").exits(1, "main.go:", `"free"`)
	calls("orders", 890)
	term.edit("main.go", `"AT": "free"`, `"AT": 790`)
	term.ruedo("publish", "--no-live").ok("stored orders: revision 3", "revision 2 stays live")
	calls("orders", 890)
	calls("orders@3", 790)
	term.ruedo("promote", "orders@3").ok()
	calls("orders", 790)
	term.ruedo("rollback", "orders").ok()
	calls("orders", 890)
	term.ruedo("rollback", "orders", "--to", "1").ok()
	calls("orders", 990)
	term.ruedo("get", "revisions", "orders").ok("3", "2", "1")
	term.ruedo("get", "services").ok("orders", "ready")
}

func decorateOrders(term terminal) {
	two := `{"id":"A-1","placed":"2026-03-06T09:30:00Z","customer":{"name":"Ada","address":{"street":"","city":"","country":"AT"}},
		"lines":[{"sku":"a","quantity":1,"cents":1},{"sku":"b","quantity":1,"cents":1}]}`
	term.ruedo("diff", "-f", "decorators.yaml").exits(0)
	term.edit("decorators.yaml", "limits:", "input_schema: {properties: {lines: {maxItems: 1}}}\nlimits:")
	term.ruedo("diff", "-f", "decorators.yaml").exits(1, "input_schema")
	term.ruedo("apply", "-f", "decorators.yaml", "--dry-run").ok("orders-input", "input_schema")
	term.post("/call/orders", form, two).is(200)
	term.ruedo("apply", "-f", "decorators.yaml").ok("decorator orders-input updated")
	term.post("/call/orders", form, two).is(400, `"field":"lines"`)
	term.ruedo("get", "revisions", "decorator/orders-input").ok("2", "1")
	term.ruedo("rollback", "decorator", "orders-input").ok()
	term.post("/call/orders", form, two).is(200)
	// A limit that the service cannot run with is refused with its name.
	term.edit("decorators.yaml", "memory: 64MiB", "memory: 1MiB")
	term.ruedo("apply", "-f", "decorators.yaml").exits(5, "orders-input was not changed", "orders: ", "WASM_LIMIT_MEMORY")
	term.post("/call/orders", form, two).is(200)
	// What is printed as YAML can be applied.
	for file, noun := range map[string]string{"service.yaml": "service", "decorator.yaml": "decorator"} {
		name := map[string]string{"service": "orders", "decorator": "orders-input"}[noun]
		term.write(file, term.ruedo("get", noun, name, "-o", "yaml").ok("name: "+name).out)
		term.ruedo("diff", "-f", file).exits(0)
		term.ruedo("apply", "-f", file).ok(noun + " " + name + " unchanged")
	}
	term.ruedo("help", "service-file").ok("ruedo.yaml", "unknown_fields", "decorators")
	term.ruedo("help", "decorator-file").ok("decorators.yaml", "input_schema", "memory")
}

// sales is the service that reads 3 MB of CSV.
func sales(term terminal) {
	t := term.t
	text, want := csv()
	term = term.project("sales")
	term.write("sales.csv", text)
	term.tested()
	term.ruedo("check").ok("sales can be published")
	term.ruedo("publish").ok("published sales: revision 1")

	// The error says which limit it was, who set it, and what to do.
	term.ruedo("call", "sales", "-d", "@sales.csv").exits(7, "1 MiB", "sales-input")
	term.post("/call/sales", "text/csv", text).is(413, "INPUT_TOO_LARGE", "1 MiB", "sales-input")
	term.edit("decorators.yaml", "input: 1MiB", "input: 8MiB")
	term.ruedo("publish").ok("limits.input: 1MiB -> 8MiB")

	sameJSON(t, "the output of ruedo call", term.ruedo("call", "sales", "-d", "@sales.csv").ok("summed up rows=").out, want)
	sameJSON(t, "the answer to curl", term.post("/call/sales", "text/csv", text).is(200).body, want)
	var connect struct {
		Bytes       []byte
		ContentType string
	}
	term.connect(bytesRequest("sales", text)).is(200).decode(&connect)
	sameJSON(t, "the answer over Connect", string(connect.Bytes), want)
	res, err := client.New(term.url).Call(t.Context(), "sales", []byte(text), client.WithContentType("text/csv"))
	if err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "the answer of the Go client", string(res.Output), want)

	broken := strings.Replace(text, "\n2026-05-05,", "\n2026-05-55,", 1)
	term.post("/call/sales", "text/csv", broken).is(400, "GUEST_ERROR", "line 6", "2026-05-55")
}

// rows is the service that answers with much more than it got.
func rows(term terminal) {
	t := term.t
	text, _ := csv()
	lines := strings.Count(text, "\n") - 1
	term = term.project("rows")
	term.write("sales.csv", text)
	term.tested()
	term.ruedo("publish").ok("published rows: revision 1")
	term.ruedo("call", "rows", "-d", "@sales.csv").exits(12, "4 MiB", "rows-input")
	term.edit("decorators.yaml", "output: 4MiB", "output: 32MiB")
	term.ruedo("publish").ok("limits.output: 4MiB -> 32MiB")

	check := func(what, got string) {
		t.Helper()
		if n := strings.Count(got, "\n"); n != lines || len(got) <= 8<<20 || !strings.HasSuffix(got, "}\n") {
			t.Errorf("%s has %d lines and %d bytes, want %d lines", what, n, len(got), lines)
		}
	}
	check("the output of ruedo call", term.ruedo("call", "rows", "-d", "@sales.csv").ok().out)
	curl := term.post("/call/rows", "text/csv", text).is(200)
	check("the answer to curl", curl.body)
	if got := curl.header.Get("Content-Type"); got != "application/x-ndjson" {
		t.Errorf("its type is %s", got)
	}
	file, err := os.Open(filepath.Join(term.dir, "sales.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s, err := client.New(term.url).Stream(t.Context(), "rows", file, client.WithContentType("text/csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Body.Close()
	b, err := io.ReadAll(s.Body)
	if err != nil {
		t.Error(err)
	}
	check("the stream of the Go client", string(b))
	// Over Connect the answer can be as large; a request can have 8 MiB.
	var connect struct{ Bytes []byte }
	term.connect(bytesRequest("rows", text)).is(200).decode(&connect)
	check("the answer over Connect", string(connect.Bytes))
	term.connect(bytesRequest("rows", strings.Repeat(text, 3))).is(429, `"resource_exhausted"`)
}

// watched is a new service next to a cluster that publishes it on each save.
func watched(term terminal) {
	term.ruedo("new", "watched").ok("created watched/")
	term, dev := term.dev("--watch", filepath.Join(term.dir, "watched"))
	says := func(greeting string) {
		term.t.Helper()
		var last answer
		if !testkit.Poll(time.Minute, func() bool {
			last = term.ruedo("call", "watched", "-d", `{"name":"Ada"}`)
			return strings.Contains(last.out, greeting)
		}) {
			last.ok(greeting)
		}
	}
	says("Hello, Ada!")
	term.edit("watched/main.go", "Hello, ", "Good day, ")
	says("Good day, Ada!")
	term.edit("watched/main.go", "Good day, ", "Good day, \" + 7 + \"")
	testkit.Within(term.t, time.Minute, "the mistake is shown", func() bool {
		return strings.Contains(dev.output(), "main.go:") && strings.Contains(dev.output(), "does not build")
	})
	says("Good day, Ada!")
	term.edit("watched/main.go", "Good day, \" + 7 + \"", "Good evening, ")
	says("Good evening, Ada!")
	term.ruedo("get", "revisions", "watched", "-o", "name").ok("3")
}

// manifests is the service with a library.
func manifests(term terminal, version string) {
	const input = `{"yaml":"name: shop\nstage: live\nreplicas: 3\ntimeout: 90s\nports:\n  - {name: http, number: 8080}\n"}`
	const want = `{"name":"shop","stage":"live","replicas":3,"timeout":"1m30s","ports":[{"name":"http","number":8080}]}`
	t := term.t
	term = term.project("manifests")
	term.ruedo("publish").exits(1, library, "go get "+library)
	term.run("go", "get", library+"@"+version).ok("added " + library)
	term.run("go", "mod", "tidy").ok()
	term.tested()
	term.ruedo("check").ok("manifests can be published")
	term.ruedo("publish").ok("published manifests: revision 1")
	sameJSON(t, "the output of ruedo call", term.ruedo("call", "manifests", "-d", input).ok("read name=shop ports=1").out, want)
	sameJSON(t, "the answer to curl", term.post("/call/manifests", form, input).is(200).body, want)
	var connect struct{ Output json.RawMessage }
	term.connect(`{"service":"manifests","input":` + input + `}`).is(200).decode(&connect)
	sameJSON(t, "the answer over Connect", string(connect.Output), want)

	// The types refuse what no decorator mentions.
	const unknown, number = `{"yaml":"name: shop\nstage: live\n","strikt":true}`, `{"yaml":7}`
	term.ruedo("call", "manifests", "-d", unknown).exits(8, "strikt: is not accepted, did you mean strict?", "fix: ruedo call manifests --use")
	term.ruedo("call", "manifests", "-d", number).exits(8, "yaml: ")
	var refused struct {
		Reason string
		Fields []struct{ Field string }
	}
	for input, field := range map[string]string{unknown: "strikt", number: "yaml"} {
		term.post("/call/manifests", form, input).is(400).decode(&refused)
		if refused.Reason != "INPUT_INVALID" || len(refused.Fields) != 1 || refused.Fields[0].Field != field {
			t.Errorf("curl gets %+v for %s", refused, input)
		}
		term.connect(`{"service":"manifests","input":`+input+`}`).is(400, "INPUT_INVALID", field)
	}

	// The library's error shows the line, in the terminal as lines.
	term.ruedo("call", "manifests", "-d", strings.Replace(input, `"}`, `colour: red\n","strict":true}`, 1)).
		exits(10, `unknown field "colour"`, "\n  >  7 | colour: red\n", "invalid_argument")
	term.ruedo("call", "manifests", "-d", strings.Replace(input, "live", "moon", 1)).exits(10, `stage "moon" is neither test nor live`)

	// A panic is found without having asked for it.
	term.edit("main.go", `if m.Name == "" {`, `if m.Ports[0].Name == "" {`)
	term.edit("ruedo.yaml", `timeout: 1s\n"`, `timeout: 1s\nports: [{name: a, number: 1}]\n"`)
	term.ruedo("publish").ok("published manifests: revision 2")
	const bare = `{"yaml":"name: shop\nstage: live\n"}`
	failed := term.post("/call/manifests", form, bare).is(500, "index out of range")
	term.ruedo("logs", "--call", failed.header.Get("Ruedo-Call-Id")).ok("index out of range", "main.go:", "main.read")
	term.ruedo("logs", "manifests", "--since", "5m").ok("index out of range", "cannot be read size=", "read name=shop")
	term.ruedo("rollback", "manifests").ok()
	term.post("/call/manifests", form, bare).is(200)
	term.ruedo("delete", "service", "manifests", "--yes").ok()
	term.post("/call/manifests", form, input).is(404, "SERVICE_NOT_FOUND")
}
