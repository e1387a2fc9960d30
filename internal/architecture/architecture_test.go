package architecture_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/ruedo-dev/ruedo"

// pkg is what the go command says of one package, its own path cut short.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// packages returns all packages of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	pkgs, err := listed()
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 20 {
		t.Fatalf("found only %d packages", len(pkgs))
	}
	return pkgs
}

// listed asks the go command once, for all tests.
var listed = sync.OnceValues(func() (pkgs []pkg, err error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", module+"/...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		p.ImportPath = short(p.ImportPath)
		for i := range p.Imports {
			p.Imports[i] = short(p.Imports[i])
		}
		pkgs = append(pkgs, p)
	}
})

func short(path string) string {
	if path == module {
		return "main"
	}
	return strings.TrimPrefix(path, module+"/")
}

// in reports whether path is room or lies within it.
func in(path, room string) bool { return path == room || strings.HasPrefix(path, room+"/") }

func inAny(path string, rooms []string) bool {
	return slices.ContainsFunc(rooms, func(r string) bool { return in(path, r) })
}

// rooms are all that is ours, for rules that name what may be imported.
var rooms = []string{"gen", "core", "runner", "sandbox", "sdk", "examples", "internal", "main"}

// generated are the rooms whose code is made of protos: it is as its generators write it.
var generated = []string{"gen", "examples/todo/todo"}

// arrow is a rule of what packages may import.
type arrow struct {
	from   []string // packages that the rule is about
	only   []string // of our rooms, they may import only these ...
	never  []string // ... and never these, ours or not
	reason string
}

// An arrow that is not drawn is a failure, and the reason is its message.
var arrows = []arrow{
	{
		from: []string{"main"}, only: []string{"internal/cli"},
		reason: "main hands over to the CLI; nothing is decided in it",
	},
	{
		from: []string{"core"}, never: []string{"sandbox", "github.com/tetratelabs/wazero", "runner"},
		reason: "the control plane never executes; an in-process runner is handed to it as an Executor",
	},
	{
		from: []string{"runner"}, only: []string{"runner", "sandbox", "internal/abi", "internal/backoff", "internal/lane", "internal/executor", "internal/fault", "internal/grant", "internal/httphead", "internal/inflight", "internal/labels", "internal/limits", "internal/names", "internal/panics", "internal/text", "internal/wasmbin", "gen"},
		never:  []string{"go.etcd.io"},
		reason: "a process that runs strangers' code speaks to the store only through an interface its assembler hands it",
	},
	{
		from: []string{"runner/admission"}, only: []string{"internal/executor", "internal/fault", "internal/inflight", "internal/limits"},
		reason: "when a call may execute does not depend on what executes it",
	},
	{
		from: []string{"runner/exchange"}, only: []string{"internal/executor", "internal/httphead", "sandbox", "gen"},
		reason: "a call of kind http is translated for the sandbox in one place",
	},
	{
		from: []string{"runner/egress"}, only: []string{"internal/abi", "internal/fault", "internal/grant", "sandbox/stream", "gen"},
		reason: "what services may reach, and how, depends on rules and streams alone",
	},
	{
		from: []string{"internal/access"}, only: []string{"internal/fault", "internal/names", "gen"},
		never:  []string{"net/http"},
		reason: "who may do what is decided the same way by every room, and by looking alone",
	},
	{
		from: []string{"internal/grant"}, only: []string{"internal/fault"},
		never:  []string{"net/http"},
		reason: "a rule is read the same way by the CLI, a core and a runner, and connects to nothing",
	},
	{
		from: []string{"runner/identity"}, only: []string{"internal/names"},
		reason: "who a runner is does not depend on what it does",
	},
	{
		from: []string{"runner/logs"}, only: []string{"internal/fault", "gen"},
		reason: "what guests logged is kept whatever executed them",
	},
	{
		from: []string{"sandbox/trace"}, only: []string{"internal/wasmbin", "sandbox/hostcall/logs"},
		reason: "where a guest was is read from the runtime's text, and knows nothing of calls",
	},
	{
		from: []string{"sandbox"}, only: []string{"sandbox", "internal/abi", "internal/fault", "internal/inflight", "internal/panics", "internal/text", "internal/wasmbin"},
		never:  []string{"connectrpc.com", "google.golang.org", "go.etcd.io"},
		reason: "the sandbox is a library; limits arrive as a struct, and its errors are the one type, which costs it the standard library",
	},
	{
		from: []string{"sandbox/stack", "sandbox/thread"}, only: []string{},
		reason: "what a guest runs on knows nothing of what runs",
	},
	{
		from: []string{"sandbox/hostcall"}, only: []string{"internal/abi", "internal/fault", "internal/wasmbin", "sandbox/hostcall", "sandbox/stream"},
		reason: "what a guest can call knows nothing of templates, limits or what guests run on",
	},
	{
		from: []string{"sandbox/hostcall/logs", "sandbox/hostcall/wasi"}, only: []string{},
		reason: "what guests say, and the numbers of WASI, are read without a guest",
	},
	{
		from: []string{"sandbox/hostcall/socket"}, only: []string{"internal/fault", "sandbox/hostcall/wasi", "sandbox/stream"},
		reason: "a socket is a stream with WASI's numbers; who waits for it is an interface",
	},
	{
		from: []string{"sandbox/stream"}, only: []string{"internal/abi", "internal/fault", "internal/panics"},
		never:  []string{"github.com/tetratelabs/wazero", "net/http"},
		reason: "bytes move between two sides: what a guest is, and what is on the other side, are others' to know",
	},
	{
		from: []string{"sandbox/limit"}, only: []string{"internal/fault", "internal/text", "sandbox/fuel", "sandbox/stack", "sandbox/trap"},
		reason: "limits are figures, and errors that name them",
	},
	{
		from: []string{"sandbox/trap"}, only: []string{"sandbox/hostcall/logs", "sandbox/trace"},
		reason: "an error of the runtime is text, which is read without a guest",
	},
	{
		from: []string{"sandbox/fuel"}, only: []string{"sandbox/instrument", "sandbox/thread"},
		reason: "a meter knows the counter that instrumented guests have, and nothing of what is metered",
	},
	{
		from: []string{"sandbox/code"}, only: []string{"internal/fault", "internal/wasmbin", "sandbox/compile", "sandbox/instrument", "sandbox/limit", "sandbox/pristine"},
		reason: "what a module is made into does not depend on who calls it",
	},
	{
		from: []string{"sandbox/compile/budget"}, only: []string{"internal/wasmbin"},
		reason: "how much a module may cost is judged by its bytes alone",
	},
	{
		from: []string{"sandbox/compile/cache", "sandbox/compile/confine"}, only: []string{},
		never:  []string{"github.com/tetratelabs/wazero"},
		reason: "files are authentic, processes are limited and panics are caught whatever is compiled: this can be read without knowing how",
	},
	{
		from: []string{"sandbox/compile/failures"}, only: []string{"internal/fault"},
		reason: "what is remembered of a failure is its error",
	},
	{
		from: []string{"internal/wasmbin"}, only: []string{"internal/wasmbin", "internal/abi", "internal/fault", "internal/text"},
		never:  []string{"github.com/tetratelabs/wazero"},
		reason: "the core admits modules without an engine that could execute them",
	},
	{
		from: []string{"internal/httphead"}, only: []string{"internal/abi", "internal/headers", "internal/token"},
		reason: "a head means the same to the gateway and to the runner, which know nothing of each other",
	},
	{
		from: []string{"internal/abi"}, only: []string{},
		reason: "guests import the contract, and pay for every import in megabytes",
	},
	{
		from: []string{"gen"}, only: []string{"gen"},
		reason: "generated words depend on nothing of ours",
	},
	{
		from: []string{"internal/fault", "internal/keys"}, only: []string{"internal/fault", "internal/keys", "internal/names"},
		reason: "every room stands on errors and keys, so they stand on nothing but the rule for names",
	},
	{
		from: []string{"internal/limits"}, only: []string{"internal/limits", "internal/text", "gen"},
		never:  []string{"connectrpc.com"},
		reason: "the table of limits is read by every room above the sandbox, so it stands on words alone",
	},
	{
		from: []string{"internal/packed"}, only: []string{"gen"},
		reason: "how a message is kept in memory does not depend on who keeps it",
	},
	{
		from: []string{"internal/route"}, only: []string{"internal/fault", "gen"},
		reason: "where requests reach a service is written, checked and looked up by one rule, whoever publishes it and whoever serves it",
	},
	{
		from: []string{"internal/labels"}, only: []string{"internal/fault", "internal/text"},
		reason: "labels are written on both sides of a lane, stored, and read where calls are dispatched: they stand on words alone",
	},
	{
		from: []string{"internal/executor"}, only: []string{"internal/abi", "internal/executor", "internal/fault", "internal/testkit", "gen"},
		reason: "the one shape of a call is below everything that has it",
	},
	{
		from: []string{"core/api", "core/gateway"}, never: []string{"go.etcd.io", "internal/etcdembed", "internal/lane"},
		reason: "the ways in are thin: they ask the rooms that know",
	},
	{
		from: []string{"core/api/invocation"}, only: []string{"core/api/value", "core/invoke", "gen", "internal/fault", "internal/middleware", "internal/names", "internal/port"},
		reason: "how a call is written on the wire concerns one handler, and no other room of the core",
	},
	{
		from: []string{"core/api/value"}, only: []string{},
		reason: "a translation from one encoding to another knows nothing of who asks for it",
	},
	{
		from: []string{"core/health"}, only: []string{},
		reason: "how a probe is answered does not depend on what it looks at",
	},
	{
		from: []string{"core/publish"}, only: []string{"core/decorate", "core/store", "internal/access", "internal/fault", "internal/labels", "internal/route", "internal/text", "gen"},
		reason: "siblings under core import each other only downward: a publish stores what it has prepared, and asks for the rest by interfaces",
	},
	{
		from: []string{"core/invoke"}, only: []string{"core/catalog", "core/dispatch", "internal/access", "internal/executor", "internal/fault", "internal/limits", "internal/packed", "internal/token", "gen"},
		reason: "a call knows what can be called, who calls and who executes it, not how it was asked for and not the store",
	},
	{
		from: []string{"core/catalog"}, only: []string{"core/decorate", "core/mirror", "internal/access", "internal/executor", "internal/fault", "internal/keys", "internal/labels", "internal/route", "internal/suggest", "gen"},
		reason: "what can be called is made of the mirror's services and their rules; calling it is another room's",
	},
	{
		from: []string{"core/decorate", "core/dispatch", "core/store"}, only: []string{"core/decorate", "core/dispatch", "core/store", "internal/access", "internal/executor", "internal/fault", "internal/fleet", "internal/grant", "internal/keys", "internal/lane", "internal/labels", "internal/limits", "internal/packed", "internal/suggest", "internal/text", "gen"},
		reason: "the lowest rooms of the core know nothing of who asks them",
	},
	{
		from: []string{"core/mirror"}, only: []string{"core/mirror", "core/store", "internal/backoff", "internal/fault", "internal/fleet", "internal/keys", "internal/text", "gen"},
		reason: "a mirror shows what the store holds, whatever that is for; the store knows no mirror",
	},
	{
		from: []string{"core/auth"}, only: []string{"core/auth", "core/mirror", "gen", "internal/access", "internal/fault", "internal/token"},
		never:  []string{"go.etcd.io"},
		reason: "who asks, and whether they may, is judged from the mirror, whatever is asked for",
	},
	{
		from: []string{"core/leader"}, only: []string{"core/mirror", "internal/fault", "internal/fleet", "internal/suggest", "gen"},
		reason: "who leads does not depend on what the leader does",
	},
	{
		from: []string{"core/jobs"}, only: []string{"internal/access", "internal/backoff", "internal/fault", "internal/fleet", "internal/panics", "internal/suggest", "gen"},
		reason: "when a job runs does not depend on what it does",
	},
	{
		from: []string{"core/upkeep"}, only: []string{"core/jobs", "internal/text", "gen"},
		reason: "when the store is defragmented is decided by figures; how, its members know",
	},
	{
		from: []string{"core/collect"}, only: []string{"core/jobs", "core/store", "internal/fault", "internal/fleet", "internal/text", "gen"},
		reason: "what nobody needs is found in the store alone, and removed through its fenced writes",
	},
	{
		from: []string{"core/store/chain"}, only: []string{"core/store/chain", "internal/access", "internal/fault", "internal/fleet", "internal/keys", "gen"},
		reason: "a record is written whatever it is about, by whoever makes the transaction",
	},
	{
		from: []string{"core/store/table"}, only: []string{"internal/access", "internal/fault", "internal/keys", "internal/packed", "internal/suggest", "gen"},
		reason: "how a kind is stored is told to whoever writes it and to whoever watches it",
	},
	{
		from: []string{"core/store/records"}, only: []string{"core/store/chain", "core/store/guard", "internal/fault", "internal/fleet", "internal/keys", "gen"},
		reason: "the audit is read as it was written, whatever it says",
	},
	{
		from: []string{"core/auth/limit"}, only: []string{},
		reason: "how often something may be tried is counted by text, whatever is tried",
	},
	{
		from: []string{"core/login"}, only: []string{"core/auth/limit", "core/login/password", "core/store/chain", "core/store/principals", "core/users", "internal/access", "internal/fault", "internal/keys", "internal/token", "gen"},
		never:  []string{"net/http"},
		reason: "who is let in is decided by what they show and how often they try; what they may do is another room's",
	},
	{
		from: []string{"core/users"}, only: []string{"core/jobs", "core/mirror", "core/store/chain", "core/store/principals", "core/users/holdings", "internal/access", "internal/fault", "internal/fleet", "internal/keys", "internal/suggest", "internal/text", "internal/token", "gen"},
		never:  []string{"net/http"},
		reason: "who may become what is decided by what is stored and by who asks; how they were told apart is another room's",
	},
	{
		from: []string{"core/users/holdings"}, only: []string{"core/mirror", "core/store/principals", "internal/access", "internal/fault", "internal/keys", "internal/suggest", "gen"},
		never:  []string{"net/http"},
		reason: "what users hold is read off a snapshot, and changes nothing",
	},
	{
		from: []string{"core/login/password"}, only: []string{"internal/fault"},
		reason: "how good a password is, and its hash, do not depend on whose it is",
	},
	{
		from: []string{"core/audit"}, only: []string{"core/jobs", "core/store/chain", "core/store/records", "internal/access", "internal/fault", "internal/fleet", "internal/text", "gen"},
		reason: "who was refused is told to this room; it refuses nobody",
	},
	{
		from: []string{"core/store/principals"}, only: []string{"core/store/chain", "core/store/guard", "core/store/table", "internal/access", "internal/fault", "internal/fleet", "internal/keys", "gen"},
		reason: "who may be what is decided above; what is written together is written here",
	},
	{
		from: []string{"core/store/guard"}, only: []string{"core/store/chain", "internal/fault", "internal/fleet"},
		reason: "a write is refused or fenced whatever it writes",
	},
	{
		from: []string{"core/store/format"}, only: []string{"core/store/chain", "core/store/whole", "internal/fault", "internal/fleet", "internal/text", "gen"},
		reason: "an older store is converted before anything that reads its values; who makes the backup is handed over",
	},
	{
		from: []string{"core/store/modules"}, only: []string{"core/store/chain", "core/store/guard", "internal/fault", "internal/fleet", "internal/keys", "gen"},
		reason: "a module is bytes under a digest, and knows no service that uses it",
	},
	{
		from: []string{"core/store/events"}, only: []string{"core/store/chain", "core/store/guard", "internal/fault", "internal/fleet", "internal/keys", "gen"},
		reason: "the ring keeps events, whatever they say",
	},
	{
		from: []string{"core/events"}, only: []string{"core/store/events", "internal/access", "internal/fault", "gen"},
		reason: "an event is recorded by whoever saw it, and this room sees nothing itself",
	},
	{
		from: []string{"core/upload"}, only: []string{"internal/fault", "internal/limits", "internal/wasmbin", "gen"},
		reason: "an upload verifies and admits bytes; where they go is an interface",
	},
	{
		from: []string{"internal/text"}, only: []string{},
		reason: "wording a count needs the standard library only",
	},
	{
		from: []string{"core/decorate"}, never: []string{"core/dispatch", "core/store"},
		reason: "rules are made of decorators, wherever these come from",
	},
	{
		from: []string{"core/decorate/schema"}, only: []string{"core/decorate/schema", "core/decorate/admission", "core/decorate/input", "internal/fault", "internal/suggest"},
		reason: "a check knows a schema and an input, and nothing of decorators, services or calls: its callers put these names into errors",
	},
	{
		from: []string{"core/decorate/admission"}, only: []string{"core/decorate/admission", "internal/fault"},
		reason: "whether a schema is too expensive is decided before anything that compiles or checks it",
	},
	{
		from: []string{"core/decorate/input"}, only: []string{"core/decorate/input"},
		never:  []string{"google.golang.org", "connectrpc.com"},
		reason: "strangers' bytes are read by one small parser that stands on the standard library, so it can be read and fuzzed on its own",
	},
	{
		from: []string{"core/api", "core/gateway", "core/invoke", "core/catalog", "core/publish"}, never: []string{"core/decorate/schema", "core/decorate/admission", "core/decorate/input"},
		reason: "a schema belongs to a decorator: who wants one checked asks core/decorate, whose errors name it",
	},
	{
		from: []string{"core/dispatch"}, never: []string{"core/decorate", "core/store"},
		reason: "which runner gets a call depends on runners alone",
	},
	{
		from: []string{"core/store"}, never: []string{"core/decorate", "core/dispatch"},
		reason: "the catalog stores words and judges none",
	},
	{
		from: []string{"internal/lane", "internal/middleware", "internal/port", "internal/fleet", "internal/etcdembed"}, never: []string{"core", "runner", "sandbox", "sdk", "internal/cli"},
		reason: "what carries does not know what it carries",
	},
	{
		from: []string{"sdk/client"}, only: []string{"sdk/client", "gen", "internal/access", "internal/fault", "internal/headers", "internal/loopback", "internal/pki", "internal/socket", "internal/token"},
		reason: "the client is for apps: it drags nothing of the server along",
	},
	{
		from: []string{"sdk/client/internal/cores"}, only: []string{"internal/loopback", "internal/socket"},
		reason: "which core a request goes to depends on addresses and connections alone",
	},
	{
		from: []string{"sdk/client/internal/bearer", "sdk/client/internal/transport"}, only: []string{"gen", "internal/fault", "internal/pki", "internal/token", "sdk/client/internal/cores"},
		reason: "what a core is shown, and why it is trusted, does not depend on what it is asked",
	},
	{
		from: []string{"sdk/client/internal/body", "sdk/client/internal/retry"}, only: []string{},
		reason: "how a body is sent, and when a request is sent again, does not depend on what it asks for",
	},
	{
		from: []string{"sdk/client/internal/revisions"}, only: []string{"internal/headers"},
		reason: "what a client has written is known by numbers alone, from header fields",
	},
	{
		from: []string{"core"}, only: []string{"core", "gen", "internal/access", "internal/archive", "internal/backoff", "internal/executor", "internal/fault", "internal/fleet", "internal/grant", "internal/headers", "internal/httphead", "internal/inflight", "internal/keys", "internal/labels", "internal/lane", "internal/limits", "internal/loopback", "internal/middleware", "internal/names", "internal/packed", "internal/panics", "internal/pki", "internal/port", "internal/route", "internal/seal", "internal/socket", "internal/suggest", "internal/telemetry", "internal/text", "internal/token", "internal/wasmbin", "internal/wholefile"},
		reason: "the control plane stands on contracts and carriers; what assembles it, and where the store runs, it does not know",
	},
	{
		from: []string{"core/local"}, only: []string{"internal/executor", "internal/fault", "gen"},
		reason: "a runner in this process is one like the others",
	},
	{
		from: []string{"core/door"}, only: []string{"internal/fault", "internal/loopback", "internal/pki", "internal/socket"},
		reason: "how a core is reached depends on neither what it serves nor what it stores",
	},
	{
		from: []string{"core/trust"}, only: []string{"core/mirror", "core/store", "internal/access", "internal/fault", "internal/keys", "internal/pki", "internal/seal", "gen"},
		reason: "what a cluster seals and certifies with is in the store, and nobody else's business",
	},
	{
		from: []string{"core/logs"}, only: []string{"core/dispatch", "internal/access", "internal/executor", "internal/fault", "gen"},
		reason: "what guests logged is with the runners: who reads it asks them, and no store",
	},
	{
		from: []string{"core/api"}, only: []string{"core/api", "core/backup", "core/catalog", "core/cordon", "core/decorate", "core/dispatch", "core/freshness", "core/invoke", "core/jobs", "core/leader", "core/login", "core/logs", "core/members", "core/mirror", "core/peers", "core/publish", "core/store", "core/upload", "core/users", "gen", "internal/access", "internal/fault", "internal/middleware", "internal/names", "internal/packed", "internal/port"},
		reason: "a handler translates between words and one room that knows",
	},
	{
		from: []string{"core/backup"}, only: []string{"core/store", "internal/archive", "internal/fault", "internal/fleet", "internal/limits", "internal/text", "internal/wholefile", "gen"},
		reason: "a catalog is copied as it is stored, whatever it means to calls",
	},
	{
		from: []string{"internal/archive"}, only: []string{"internal/fault", "internal/keys", "internal/limits", "internal/names", "gen"},
		reason: "cores read backups, and so does a CLI without a core: the format depends on neither",
	},
	{
		from: []string{"core/dispatch/conduct"}, only: []string{"internal/fault", "gen"},
		reason: "what is remembered of a runner does not depend on how it was found out",
	},
	{
		from: []string{"core/dispatch/attempt"}, only: []string{"internal/executor", "internal/fault"},
		reason: "whether a call may run twice depends on the call and its failure; who runs it does not matter",
	},
	{
		from: []string{"core/dispatch/load"}, only: []string{"internal/executor", "internal/fault", "gen"},
		reason: "how long a call would wait is a sum over numbers: whose turn it is does not matter",
	},
	{
		from: []string{"core/cordon"}, only: []string{"core/dispatch", "core/mirror", "core/store", "internal/access", "internal/fault", "internal/suggest", "internal/text", "gen"},
		reason: "who is out of service is in the store, and the dispatcher heeds it: nobody else is asked but the other cores",
	},
	{
		from: []string{"core/peers"}, only: []string{"internal/headers", "gen"},
		reason: "only a core itself knows its state: neither the store nor this core's rooms are asked",
	},
	{
		from: []string{"core/inspect"}, only: []string{"core/dispatch", "core/mirror", "core/peers", "gen", "internal/access", "internal/executor", "internal/fault", "internal/labels", "internal/panics", "internal/port", "internal/suggest", "internal/text"},
		reason: "how the cluster is, its cores say; what that means is judged from their reports alone",
	},
	{
		from: []string{"core/freshness"}, only: []string{"internal/fault", "internal/headers", "internal/port"},
		reason: "a request is held before anything is known of it but its header",
	},
	{
		from: []string{"core/gateway"}, only: []string{"core/gateway", "core/invoke", "gen", "internal/access", "internal/fault", "internal/headers", "internal/middleware", "internal/port"},
		reason: "plain HTTP is a way in to calls and to nothing else",
	},
	{
		from: []string{"core/gateway/fields"}, only: []string{"core/invoke", "gen", "internal/fault", "internal/headers"},
		reason: "header fields of calls are the same however a call is made",
	},
	{
		from: []string{"core/exchange"}, only: []string{"core/gateway/fields", "core/invoke", "gen", "internal/access", "internal/executor", "internal/fault", "internal/headers", "internal/httphead", "internal/middleware", "internal/port", "internal/token"},
		reason: "requests to services are a way in to calls, and what is in them is not read",
	},
	{
		from: []string{"internal/middleware"}, only: []string{"internal/middleware", "internal/fault"},
		reason: "what surrounds every handler knows errors and no procedure",
	},
	{
		from: []string{"internal/port"}, only: []string{"internal/access", "internal/port", "internal/middleware", "internal/fault", "internal/headers", "internal/short"},
		reason: "bounds hold for handlers whatever these do",
	}, {
		from: []string{"internal/port/budget"}, only: []string{},
		reason: "who gets memory next is a question of numbers alone",
	}, {
		from: []string{"internal/port/garbage"}, only: []string{},
		reason: "when memory goes back to the system is a question of the heap alone",
	}, {
		from: []string{"internal/port/hosts"}, only: []string{},
		reason: "which names may reach a server is a question of names alone",
	}, {
		from: []string{"internal/port/gate"}, only: []string{"internal/fault", "internal/headers", "internal/port/hosts", "internal/port/origins"},
		reason: "whether a request is meant for a server is asked of its head alone, before anything is known of its route",
	}, {
		from: []string{"internal/port/origins"}, only: []string{"internal/fault", "internal/headers"},
		reason: "which web pages may use a server is a question of their origins alone",
	}, {
		from: []string{"internal/port/conns"}, only: []string{"internal/short"},
		reason: "connections are counted whatever they are for",
	}, {
		from: []string{"internal/port/files", "internal/port/flight", "internal/port/handshake"}, only: []string{},
		reason: "descriptors, requests and handshakes are counted whatever they are for",
	}, {
		from: []string{"internal/port/front"}, only: []string{},
		reason: "it does what net/http does, and net/http knows nothing of Ruedo",
	}, {
		from: []string{"internal/port/proxies"}, only: []string{"internal/fault"},
		reason: "who is behind a proxy is read from addresses and one field",
	}, {
		from: []string{"internal/port/head"}, only: []string{"internal/fault"},
		reason: "the head of a request is looked at before anything is known of its handler",
	},
	{
		from: []string{"internal/token"}, only: []string{"internal/fault", "internal/loopback"},
		reason: "a text that lets somebody in is read the same way by clients and cores, and known to nothing else",
	},
	{
		from: []string{"internal/seal"}, only: []string{"internal/fault", "internal/text", "internal/wholefile"},
		reason: "what is sealed is bytes under a key; which store they are in does not matter",
	},
	{
		from: []string{"internal/pki"}, only: []string{"internal/fault", "internal/pki"},
		reason: "who a machine is does not depend on what it does, nor on where its authority is kept",
	},
	{
		from: []string{"internal/short"}, only: []string{},
		reason: "how bytes are moved does not depend on what they say",
	},
	{
		from: []string{"internal/socket"}, only: []string{"internal/fault", "internal/loopback", "internal/text"},
		reason: "who owns a machine is asked of the system alone",
	},

	{
		from: []string{"internal/fleet/roster"}, only: []string{},
		reason: "a roster keeps keys in the store, whatever they mean",
	},
	{
		from: []string{"internal/fleet"}, only: []string{"internal/fleet", "internal/backoff", "internal/fault", "internal/keys", "gen"},
		reason: "membership needs keys and leases",
	},
	{
		from: []string{"internal/fleet/unbroken"}, only: []string{}, never: []string{"go.etcd.io"},
		reason: "whether a connection was lost does not depend on what it carried; embedded stores use it, too",
	},
	{
		from: []string{"internal/etcdembed"}, only: []string{"internal/etcdembed", "internal/backoff", "internal/fault", "internal/fleet/unbroken", "internal/text", "gen"},
		reason: "a store in this process is a store like any other: it knows nothing of what is kept in it",
	},
	{
		from: []string{"internal/etcdembed/datadir"}, only: []string{"internal/etcdembed/peers", "internal/fault", "internal/text"},
		reason: "files are locked and checked whatever runs on them",
	},
	{
		from: []string{"internal/etcdembed/peers", "internal/etcdembed/raftlog", "internal/etcdembed/revoke", "internal/etcdembed/zapslog"}, only: []string{"internal/backoff", "internal/fault"},
		reason: "what a member has to settle with the others comes before etcd runs",
	},
	{
		from: []string{"core/shelf"}, only: []string{"internal/executor", "internal/fault"},
		reason: "a module on its way is chunks and a digest; where they are stored is handed over",
	},
	{
		from: []string{"core/members"}, only: []string{"internal/fault", "internal/fleet", "gen"},
		reason: "the member in this process, which the assembler passes in, and other cores know the store; this room only asks them",
	},
	{
		from: []string{"internal/lane"}, only: []string{"internal/lane", "internal/executor", "internal/fault", "internal/labels", "internal/limits", "internal/loopback", "internal/names", "internal/panics", "internal/pki", "internal/short", "internal/socket", "internal/token", "gen"},
		reason: "a lane carries calls between a core and a runner and imports neither",
	},
	{
		from: []string{"internal/lane/peers"}, only: []string{"internal/fault"},
		reason: "who may open a lane is decided without the lane",
	},
	{
		from: []string{"internal/lane/queue"}, only: []string{"internal/fault"},
		reason: "frames are bytes once they are queued; what they say does not matter",
	},
	{
		from: []string{"internal/lane/upgrade"}, only: []string{"internal/fault", "internal/lane/upgrade"},
		reason: "what the bytes of a stream say does not matter to the connection that carries them",
	},
	{
		from: []string{"internal/lane/transport"}, only: []string{"internal/fault", "internal/lane/bearer", "internal/lane/pace", "internal/lane/queue", "internal/short", "internal/socket"},
		reason: "requests are made without knowing what a lane is",
	},
	{
		from: []string{"internal/lane/pending"}, only: []string{},
		reason: "what waits has an id and a deadline; what it waits for does not matter",
	},
	{
		from: []string{"internal/lane/stream"}, only: []string{"internal/executor", "internal/fault", "internal/lane/protocol", "internal/panics", "gen"},
		reason: "what streams belongs to one call; lanes hand over the call and the requests for its streams",
	},
	{
		from: []string{"internal/lane/workers"}, only: []string{},
		reason: "what a worker does is its tasks' business",
	},
	{
		from: []string{"internal/lane/pace"}, only: []string{"internal/fault", "gen"},
		reason: "silence is judged by what was heard and what was announced; who is silent does not matter",
	},
	{
		from: []string{"internal/telemetry"}, only: []string{"internal/fault", "gen"},
		reason: "figures are counted by the words of errors and calls",
	},
	{
		from: []string{"internal/backoff", "internal/inflight", "internal/loopback", "internal/names", "internal/panics", "internal/suggest", "internal/text", "internal/wholefile"}, only: []string{},
		reason: "small things that many rooms need stand on nothing",
	},
	{
		from: []string{"internal/cli"}, only: []string{"internal/cli", "core", "runner", "sandbox", "sdk/client", "gen", "internal/access", "internal/archive", "internal/backoff", "internal/etcdembed", "internal/fault", "internal/fleet", "internal/grant", "internal/headers", "internal/httphead", "internal/inflight", "internal/labels", "internal/limits", "internal/loopback", "internal/names", "internal/pki", "internal/port", "internal/route", "internal/seal", "internal/socket", "internal/sshdevice", "internal/suggest", "internal/telemetry", "internal/text", "internal/token", "internal/wasmbin", "internal/wholefile"},
		reason: "the CLI assembles programs from rooms and speaks to a core as every client does",
	},
	{
		from: []string{"internal/ruedotest"}, only: []string{"core", "runner", "sdk/client", "internal/etcdembed", "internal/executor", "internal/fault", "internal/labels", "internal/pki", "internal/port", "internal/seal", "internal/socket", "internal/testkit", "internal/wasmbin", "gen"},
		reason: "a cluster for tests is made of real parts",
	},
	{
		from: []string{"internal/testkit"}, only: []string{"internal/fault", "internal/sshdevice"},
		reason: "the tests of every room import it, the lowest ones too, so it stands on errors alone, and its device on what the demo shows",
	},
	{
		from: []string{"internal/sshdevice"}, only: []string{},
		reason: "a device knows nothing of who logs in to it",
	},
	{
		from: []string{"core/store/chain/chaintest"}, only: []string{"core/store/chain", "gen", "internal/fault", "internal/keys"},
		reason: "whether a chain is whole is found out from what is stored, and not by what has written it",
	},
	{
		from: []string{"core/store/storetest"}, only: []string{"internal/access", "gen"},
		reason: "the store's own tests import it, so it does not import the store",
	},
	{
		from: []string{"internal/architecture", "internal/e2e", "internal/hostile"}, only: []string{},
		reason: "these hold tests alone, which look at the house from outside",
	},
	{
		from: []string{"sdk"}, only: []string{"sdk", "internal/abi", "internal/fault", "internal/headers", "internal/loopback", "internal/pki", "internal/socket", "internal/token", "gen"},
		reason: "services and apps import the sdk, and pay for what it imports",
	},
	{
		from: []string{"sdk/web"}, only: []string{"sdk", "internal/abi"},
		reason: "a service that speaks HTTP pays for net/http, and for nothing else",
	},
	{
		from: []string{"sdk/web/internal/exchange", "sdk/web/internal/outbound"}, only: []string{"sdk", "sdk/web/internal/host", "internal/abi"},
		reason: "requests that arrive and those that leave know the host, and nothing of each other",
	},
	{
		from: []string{"sdk/web/internal/same"}, only: []string{},
		reason: "a handler that is compared with net/http's knows only net/http",
	},
	{
		from: []string{"sdk/web/internal/host"}, only: []string{"internal/abi"},
		reason: "what the host gives does not depend on what is done with it",
	},
	{
		from: []string{"sdk/internal/entry"}, only: []string{},
		reason: "what answers a call is known to both kinds of services, and functions must not pay for net/http",
	},
	{
		from: []string{"examples"}, only: []string{"sdk", "examples/todo/todo"},
		reason: "an example shows what an author writes, who has the sdk and what is made of protos of their own",
	},
	{
		from: []string{"internal/cli"}, never: []string{"go.etcd.io"},
		reason: "the CLI assembles programs from rooms; what a room uses is its own affair",
	},
	{
		from: []string{"internal/cli/verb"}, never: []string{"internal/cli/cluster", "internal/cli/leading", "internal/cli/login", "internal/cli/members", "internal/cli/resource", "internal/cli/source", "internal/cli/project", "internal/cli/trust", "internal/cli/use", "gen"},
		reason: "a verb is the same for every noun, so it knows none",
	},
	{
		from: []string{"internal/cli/derive"}, only: []string{},
		reason: "types are read with the go command and the standard library; who publishes the schemas is another room's",
	},
	{
		from: []string{"internal/cli/session"}, only: []string{"internal/cli/session", "internal/cli/assemble", "internal/cli/credential", "internal/cli/hosts", "internal/cli/output", "internal/cli/profile", "internal/cli/settings", "internal/cli/state", "internal/cli/userdir", "internal/access", "internal/fault", "internal/limits", "internal/loopback", "internal/pki", "internal/socket", "internal/text", "internal/wholefile", "sdk/client"},
		reason: "what commands work with knows no command",
	},
	{
		from: []string{"internal/cli/reach"}, only: []string{"gen", "internal/cli/output", "internal/cli/session"},
		reason: "how a service is reached follows from its revision and the address of a core",
	},
	{
		from: []string{"internal/cli/absent"}, only: []string{},
		reason: "what a program uses is read from its source or its imports, whatever is done with it",
	},
	{
		from: []string{"internal/cli/bundle"}, only: []string{"internal/cli/object", "internal/cli/output", "internal/fault", "internal/limits", "internal/names", "internal/text", "internal/wholefile"},
		reason: "files of documents and modules are written and read whatever is done with them, and whoever they are from",
	},
	{
		from: []string{"internal/cli/page"}, only: []string{},
		reason: "how a page is written does not depend on what it says",
	},
	{
		from: []string{"internal/cli/reference"}, only: []string{"core/invoke", "gen", "internal/cli/cases", "internal/cli/page", "internal/cli/project", "internal/cli/settings", "internal/cli/verb", "internal/fault", "internal/headers", "internal/limits", "internal/names", "internal/route", "internal/telemetry", "internal/text"},
		reason: "a reference is made from the structs and tables themselves: it reads them, and does nothing",
	},
	{
		from: []string{"internal/headers"}, only: []string{},
		reason: "who sends a header field and who reads it share its name, the client too, which drags nothing along",
	},
	{
		from: []string{"internal/cli/settings"}, only: []string{"internal/cli/hosts", "internal/cli/profile", "internal/cli/userdir", "internal/cli/yamlfile", "internal/fault", "internal/labels", "internal/names", "internal/port/origins", "internal/suggest", "internal/text", "internal/wasmbin"},
		reason: "where a value came from does not depend on what it is for",
	},
	{
		from: []string{"internal/cli/hosts", "internal/cli/profile", "internal/cli/state"}, only: []string{"internal/cli/hosts", "internal/cli/userdir", "internal/cli/yamlfile", "internal/fault", "internal/names", "internal/pki", "internal/suggest", "internal/text", "internal/wholefile"},
		reason: "what is kept in the user's directories is read and written without a session",
	},
	{
		from: []string{"internal/cli/userdir"}, only: []string{},
		reason: "where files of the user are follows from the environment, whatever is in them",
	},
	{
		from: []string{"internal/cli/credential"}, only: []string{"internal/cli/profile", "internal/cli/settings", "internal/cli/userdir", "internal/fault", "internal/names", "internal/pki", "internal/socket", "internal/text", "internal/wholefile", "sdk/client"},
		reason: "what is shown to cores, and by what they are believed, does not depend on what they are asked",
	},
	{
		from: []string{"internal/cli/help", "internal/cli/completion"}, only: []string{"internal/cli/page", "internal/cli/settings"},
		reason: "help and completion are made of the grammar, whatever is in it",
	},
	{
		from: []string{"internal/cli/calling", "internal/cli/cluster", "internal/cli/event", "internal/cli/inspect", "internal/cli/leading", "internal/cli/login", "internal/cli/members", "internal/cli/publishing", "internal/cli/resource", "internal/cli/source", "internal/cli/trust", "internal/cli/use"}, never: []string{"internal/cli/assemble", "internal/cli/settings", "internal/cli/help", "internal/cli/completion", "core"},
		reason: "nouns ask a core through its client, whichever process that is in",
	},
}

func TestArrowsPointDownward(t *testing.T) {
	for _, p := range packages(t) {
		for _, a := range arrows {
			if !inAny(p.ImportPath, a.from) {
				continue
			}
			for _, imp := range p.Imports {
				forbidden := inAny(imp, a.never) || a.only != nil && inAny(imp, rooms) && !inAny(imp, a.only)
				if forbidden {
					t.Errorf("%s imports %s: %s", p.ImportPath, imp, a.reason)
				}
			}
		}
	}
}

// Who may import a library that is dangerous in the wrong hands.
var keepers = []struct {
	library string
	keepers []string
	reason  string
}{
	{"go.etcd.io/etcd/server/v3", []string{"internal/etcdembed"}, "etcd's server has one assembler"},
	{"go.etcd.io/etcd/client/v3", []string{"core/store", "core/mirror", "internal/fleet", "internal/etcdembed"}, "who can name an operation of etcd can write anything: the store does, the mirror watches"},
	{"internal/etcdembed", []string{"internal/cli/assemble", "internal/etcdembed", "internal/ruedotest"}, "it has the one client that an assembler hands to a store"},
	{"github.com/tetratelabs/wazero", []string{"sandbox"}, "strangers' code runs in one room"},
	{"golang.org/x/crypto/argon2", []string{"core/login/password"}, "a hash takes megabytes and a processor: one room bounds how many there are"},
	{"github.com/alexedwards/argon2id", []string{"core/login/password"}, "the same, in the form in which hashes are stored"},
	{"code.dny.dev/ssrf", []string{"runner/egress"}, "which addresses are public is asked where they are connected to"},
	{"github.com/santhosh-tekuri/jsonschema", []string{"core/decorate/schema"}, "the library bounds neither what a schema costs nor what a check does: one room admits, counts and stops"},
	{"internal/fault/faultrpc", []string{"internal/fault/faultrpc", "internal/lane", "internal/middleware", "internal/port", "core/exchange", "core/freshness", "core/gateway", "sdk/client", "internal/cli"}, "errors are translated where they enter or leave a process; between rooms they are *fault.Error"},
	{"testing", []string{"core/coretest", "core/store/storetest", "internal/etcdembed/etcdtest", "internal/executor/executortest", "internal/pki/pkitest", "internal/ruedotest", "internal/testkit", "internal/wasmbin/wasmtest"}, "what helps tests is in a room of its own, so that no program contains it"},
	{"internal/testkit", []string{"internal/executor/executortest", "internal/ruedotest"}, "it is for tests"},
	{"internal/sshdevice", []string{"internal/cli/demo", "internal/testkit/sshtest"}, "a server that anyone logs in to who has read its source is for the demo and for tests"},
	{"filippo.io/age", []string{"internal/seal"}, "a key is wrapped in one room, so that one reader can check how"},
	{"github.com/alecthomas/kong", []string{"internal/cli"}, "flags end at the CLI; rooms take structs"},
}

func TestDangerousLibrariesHaveKeepers(t *testing.T) {
	for _, p := range packages(t) {
		for _, k := range keepers {
			for _, imp := range p.Imports {
				if in(imp, k.library) && !inAny(p.ImportPath, k.keepers) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imp, k.reason)
				}
			}
		}
	}
}

// A client can write any key without another import, so the rule above would not
// see who does. The embedded store's client is the exception: whoever assembles a
// program hands it to the store, and few import that package.
func TestNobodyHandsOutAClientOfTheStore(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath == "internal/etcdembed" || !slices.Contains(p.Imports, "go.etcd.io/etcd/client/v3") {
			continue
		}
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || !fn.Name.IsExported() || fn.Type.Results == nil {
					continue
				}
				for _, result := range fn.Type.Results.List {
					switch types.ExprString(result.Type) {
					case "*clientv3.Client", "clientv3.KV", "clientv3.Lease":
						t.Errorf("%s: %s returns %s: who holds it can write anything", p.ImportPath, fn.Name, types.ExprString(result.Type))
					}
				}
			}
		}
	}
}

// The sdk is compiled into every guest, for wasip1: what it imports there
// decides how large guests are. sdk/web is apart from it for that reason.
func TestSDKImportsOnlyTheStandardLibraryAndTheABI(t *testing.T) {
	for room, ours := range map[string][]string{
		"sdk":                {"internal/abi", "sdk/internal/entry"},
		"sdk/internal/entry": nil,
		"sdk/web":            {"sdk", "sdk/internal/entry", "sdk/web/internal/exchange", "sdk/web/internal/host", "sdk/web/internal/outbound"},
	} {
		for _, goos := range []string{"", "wasip1"} {
			cmd := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, module+"/"+room)
			cmd.Dir = "../.."
			if goos != "" {
				cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
			}
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			for _, imp := range strings.Fields(string(out)) {
				if strings.Contains(strings.Split(imp, "/")[0], ".") && !slices.Contains(ours, short(imp)) || room == "sdk" && in(imp, "net") {
					t.Errorf("%s imports %s: guests pay for every import in megabytes", room, imp)
				}
			}
		}
	}
}

// The sandbox, the reader of modules and everything above them return its
// errors.
func TestErrorsNeedOnlyTheStandardLibrary(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != "internal/fault" {
			continue
		}
		for _, imp := range p.Imports {
			if inAny(imp, rooms) || strings.Contains(strings.Split(imp, "/")[0], ".") {
				t.Errorf("internal/fault imports %s: every room returns its errors, the sandbox too, so they cost nothing; carriage over Connect and HTTP is in faultrpc", imp)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsInOneFile(t *testing.T) {
	for _, p := range packages(t) {
		if inAny(p.ImportPath, generated) || len(p.GoFiles) == 0 {
			continue
		}
		var with []string
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				with = append(with, name)
			}
		}
		if len(with) != 1 {
			t.Errorf("%s: the package doc is in %d files %v, want exactly one: a newcomer reads it first", p.ImportPath, len(with), with)
		}
	}
}
