package page

import "strings"

// section is a chapter of the page.
type section struct {
	title, what string
	only        string // the -only that measures it
	grids       []grid
}

// grid is a table with a line for each subject.
type grid struct {
	what    string // what is compared
	subject string // title of the first column
	columns []column
}

// column is a figure of each subject, whose name stands for the asterisk in the
// names of rows.
type column struct {
	title    string
	row      string
	baseline string // the column shows the ratio to it; empty shows the value, and words the text
}

// words is the baseline of a column that shows the text of a row.
const words = "words"

// headlines are the ratios that the README shows.
var headlines = []struct{ what, row, baseline string }{
	{"Calls per second with 64 connections, to a plain Connect proxy in front of a Connect echo (as many hops, no sandbox)", "echo/c=64/rps", "C1"},
	{"Processor time of a call that starts from clean memory, to a call that finds what others left (Go)", "call/go/pristine", "call/go/shared"},
	{"Processor time of a guest that can be stopped at any time, to one that nothing can stop (median load)", "meter/median", "native"},
	{"p99 of a trivial call next to a guest that burns its processor, to the same in a quiet process", "neighbour/p99/metered/1", "neighbour/p99/metered/0"},
	{"Memory of an idle instance of a Go service, to an instance of plain wazero", "memory/pristine", "memory/plain"},
}

// labels are the subjects whose names in rows are short.
var labels = map[string]string{
	"go": "Go", "c": "C", "as": "AssemblyScript", "js": "JavaScript (QuickJS)", "all": "both",
	"first": "first start", "second": "second start, from the cache on disk", "in-process": "without a child process",
	"plain": "plain wazero", "pristine": "Ruedo, pristine",
	"text": "edit of a text to live", "code": "edit of code to live", "build": "go build alone", "floor": "go build, then wazero alone",
	"call": "a call", "alone": "a call alone", "start": "start", "memory": "memory", "private": "memory that no file backs", "publish": "publish", "visible": "publish to visible on every core", "idle": "idle",
	"start-cpu": "start, processor time", "peak": "highest memory", "called": "memory after calls of all services", "publish-cpu": "publish, processor time", "idle-cpu": "idle, processor time of a second",
	"net-http": "net/http", "ruedo": "Ruedo",
	"metered": "Ruedo, metered", "native": "plain wazero", "closing": "wazero, closing on context",
}

var sections = []section{
	{"A call through a core and a runner",
		`*A1* is a bare net/http echo: one hop, the floor. *C1* is a naive Connect proxy in front of a Connect echo: two hops, as Ruedo has. *echo* is a
core and a runner with the smallest guest, over plain HTTP; *echo-connect* is the same over Connect with JSON; *greet* is the example in Go
with its schema. Every call starts from clean memory. CPU is the time of core and runner together, per call.`, "dispatch",
		[]grid{
			{"Each subject, compared with C1 and A1 at the same number of connections:", "subject, connections", []column{
				{"calls/s", "*/rps", ""}, {"p50 µs", "*/p50", ""}, {"p99 µs", "*/p99", ""}, {"CPU µs", "*/cpu", ""},
				{"calls/s ÷ C1", "*/rps", "C1"}, {"p99 ÷ C1", "*/p99", "C1"}, {"CPU ÷ C1", "*/cpu", "C1"}, {"CPU ÷ A1", "*/cpu", "A1"}}},
			{"Each subject, compared with the same subject of the other checkout (`-against`):", "subject, connections", []column{
				{"calls/s ÷ before", "*/rps", "before"}, {"p50 ÷ before", "*/p50", "before"},
				{"p99 ÷ before", "*/p99", "before"}, {"CPU ÷ before", "*/cpu", "before"}}},
		}},
	{"The front door",
		`What it costs that callers say who they are, that they may do only so much, that connections have TLS, and that changes are recorded. Each figure is
compared with the same without it; the targets are in parentheses.

*Authorizing a call* is who a request is of, and whether it may call the service: in a cluster without logins (*none*); with a *token* among 10,000, of a user
with 20 grants of which the last one counts (2 µs); and with one that is *narrowed* by 20 grants of its own. The store is stopped meanwhile, so nothing is
read from it.

*Calls* are those of the smallest guest, by a core and a runner whose time counts: *none*, without logins; *anonymous*, with logins and without a token;
*token*, as above (CPU 1.03); *tls*, the same over TLS. *Connections* are calls that each begin with a connection of their own.

*Publish* is a publish of another revision, with its record in the audit and without (1.05); then its transaction alone, also of 16 at the same time: recorded ones
of a core go one after the other. The time is that of the whole cluster, which is one process, and waits for the disk.

*Logins* are 100 attempts in a second to log in, from 50 addresses, as users who do not exist, while two callers call every 2 ms (p99 1.2); in
*100-addresses* each attempt is from an address of its own, over a connection of its own. An address is refused when it has failed 10 times in a minute. One password is hashed at a time, by a process of the
lowest priority, with rests while calls need the processors, and 16 wait; the others are refused with LOGIN_LIMIT. Strangers who send requests cost calls something, whatever they ask for, and
those who play them here take the same processors: *hello* are as many requests of the same strangers that only ask which cluster this is, and what logins cost more than they is the other comparison (p99 1.2). This is wall time and needs an idle machine.`, "door",
		[]grid{
			{"Authorizing a call:", "request", []column{
				{"CPU µs", "door/authorize/*/cpu", ""}, {"allocations", "door/authorize/*/allocations", ""}, {"CPU ÷ none", "door/authorize/*/cpu", "none"}}},
			{"Calls:", "call, connections", doors("calls")},
			{"Connections:", "call, at a time", doors("connections")},
			{"A publish:", "publish, at a time", audited("publish")},
			{"Its transaction:", "transaction, at a time", audited("writes")},
			{"Calls next to logins:", "logins in a second", []column{
				{"p50 µs", "door/logins/*/p50", ""}, {"p99 µs", "door/logins/*/p99", ""}, {"p50 ÷ without", "door/logins/*/p50", "no logins"}, {"p99 ÷ without", "door/logins/*/p99", "no logins"}, {"p99 ÷ hello", "door/logins/*/p99", "as many requests"},
				{"wrong passwords in a second", "door/logins/*/wrong", ""}, {"refused in a second", "door/logins/*/refused", ""}}},
		}},
	{"A request to a service of kind http",
		`The same http.Handler behind two hops, each a process. *net/http* is httputil.ReverseProxy in front of the handler; *Ruedo* is a core in front of a
runner that serves it as a module, and every request begins with clean memory; *workerd*, if it was installed, is the same proxy in front of a handler in
JavaScript, whose requests share their memory. (Spin is not on npm, so it is not measured.) *get* and *json* are plain requests, *connect* and *grpc* are unary calls. Three messages answer
*stream* (Connect), and *paced* is the same with a millisecond between them, so that the answer really streams. *bidi* is a message and its answer on an
open stream of gRPC. gRPC takes HTTP/2, the others HTTP/1.1. CPU is the time of both processes together. The targets with 16 connections: a p50 of at
most 1.5 times that of net/http for *get* and 2 for *connect*, and 1.5 for the first byte of *paced*.`, "exchange",
		[]grid{
			{"p50 of an exchange, compared with net/http at the same number of connections:", "exchange, connections", exchanges("p50", "Ruedo", "workerd")},
			{"p50 of the time until the first byte of the answer:", "exchange, connections", exchanges("first", "Ruedo")},
			{"Processor time of an exchange:", "exchange, connections", exchanges("cpu", "Ruedo", "workerd")},
			{"32 MiB there and back at the same time, on one stream of HTTP/2, compared with net/http:", "subject", []column{
				{"ms", "exchange/copy/*/clock", ""}, {"CPU ms", "exchange/copy/*/work", ""},
				{"time ÷ net/http", "exchange/copy/*/clock", "exchange/copy/net-http/clock"}, {"CPU ÷ net/http", "exchange/copy/*/work", "exchange/copy/net-http/work"}}},
			{"400 streams of events that stay open, each with an event every second:", "subject", []column{
				{"KiB of a stream", "exchange/open/*/memory", ""}, {"threads of the processes", "exchange/open/*/threads", ""},
				{"threads without them", "exchange/open/*/idle", ""}, {"CPU µs of a stream in a second", "exchange/open/*/second", ""},
				{"memory ÷ net/http", "exchange/open/*/memory", "exchange/open/net-http/memory"}, {"CPU ÷ net/http", "exchange/open/*/second", "exchange/open/net-http/second"}}},
			{"Calls of a function, which need none of this, compared with the other checkout (`-against`):", "connections", []column{
				{"p50 µs", "exchange/function/c=*/ruedo/p50", ""}, {"CPU µs", "exchange/function/c=*/ruedo/cpu", ""},
				{"p50 ÷ before", "exchange/function/c=*/ruedo/p50", "exchange/function/c=*/before/p50"},
				{"CPU ÷ before", "exchange/function/c=*/ruedo/cpu", "exchange/function/c=*/before/cpu"}}},
		}},
	{"Five times too many calls",
		`A runner gets five times the calls that it can execute. *waits* occupies a slot for 50 ms and needs no processor; *computes* needs 10 ms of one. Each
call has a deadline of eight times what a call takes at the peak. Goodput is what is answered in time; the rest is refused. Recovery is the time
from the end of the burst to the first call that is answered in time. This is wall time and needs an idle machine.`, "overload",
		[]grid{{"Each service, compared with its own peak in the same round:", "service", []column{
			{"peak, calls/s", "overload/*/peak", ""}, {"goodput, calls/s", "overload/*/goodput", ""}, {"goodput ÷ peak", "overload/*/goodput", "overload/*/peak"},
			{"refusals p99, ms", "overload/*/refused", ""}, {"recovery, ms", "overload/*/recovery", ""}}}}},
	{"A call in the sandbox",
		`Processor time of one call, with JSON in and out for Go and JavaScript. [Pristine, shared, fresh and command](sandbox.md) are Ruedo's
isolations, all metered. *Warm* is plain wazero with an instance that is used again: nothing isolates its calls, and nothing can stop them.
*Closing* is the same with wazero's own way of stopping guests. *Naive* is a new instance for each call, *naive-command* the same with a
program. *wasmtime* is v39 with a pooling allocator and a new instance for each call of a module that has the start baked in; *Extism* is its
Go SDK with a new plugin for each call.`, "sandbox/calls",
		[]grid{
			{"µs of a call:", "guest", []column{
				{"pristine", "call/*/pristine", ""}, {"shared", "call/*/shared", ""}, {"fresh", "call/*/fresh", ""}, {"command", "call/*/command", ""},
				{"warm", "call/*/warm", ""}, {"closing", "call/*/closing", ""}, {"naive", "call/*/naive", ""}, {"naive-command", "call/*/naive-command", ""},
				{"wasmtime", "call/*/wasmtime", ""}, {"Extism", "call/*/extism", ""}}},
			{"What isolation costs, and what each of the other ways takes for the same call:", "guest", []column{
				{"pristine ÷ shared", "call/*/pristine", "call/*/shared"}, {"pristine ÷ warm", "call/*/pristine", "call/*/warm"},
				{"fresh ÷ naive", "call/*/fresh", "call/*/naive"}, {"command ÷ naive-command", "call/*/command", "call/*/naive-command"},
				{"closing ÷ pristine", "call/*/closing", "call/*/pristine"}, {"wasmtime ÷ pristine", "call/*/wasmtime", "call/*/pristine"},
				{"Extism ÷ pristine", "call/*/extism", "call/*/pristine"}}},
		}},
	{"Two workers",
		`Two workers that make calls, and one of them alone. Plain instances share nothing, so they show what the machine can do.`, "sandbox/workers",
		[]grid{{"Two workers, compared with one: by wall time, and by the processor time of a call.", "way", []column{
			{"calls/s of one", "workers/*/1/clock", ""}, {"calls/s of two", "workers/*/2/clock", ""},
			{"two ÷ one, by the clock", "workers/*/2/clock", "workers/*/1/clock"}, {"two ÷ one, by processor time", "workers/*/2/cpu", "workers/*/1/cpu, calls/s"}}}}},
	{"Restoring memory",
		`Between two calls, the pages that a call wrote are restored. Here it writes eight.`, "sandbox/reset",
		[]grid{{"Each size of memory, compared with 2 MB; and copying all of it back, compared with restoring it:", "memory", []column{
			{"copying, CPU µs", "reset/copy-*", ""}, {"restoring, CPU µs", "reset/*", ""},
			{"restoring ÷ restoring 2 MB", "reset/*", "reset/2MB"}, {"copying ÷ restoring", "reset/copy-*", "reset/*"}}}}},
	{"Metering",
		`A metered guest can be stopped at any time, shares its processor fairly, and its work is billed. *Native* is plain wazero, where nothing can
stop the guest. *Closing* is wazero's own way of stopping it, a check of the context.`, "sandbox/meter",
		[]grid{
			{"Of all loads, metered compared with native, and closing with metered:", "load", []column{
				{"metered ÷ native", "meter/*", "native"}, {"closing ÷ metered", "meter/closing-*", "metered"}}},
			{"Each load, metered compared with native, and closing with metered:", "load", []column{
				{"metered, CPU µs", "meter/*/metered", ""}, {"closing, CPU µs", "meter/*/closing", ""},
				{"metered ÷ native", "meter/*/metered", "meter/*/native"}, {"closing ÷ metered", "meter/*/closing", "meter/*/metered"}}},
			{"Rewriting the modules of these loads, and what is rewritten compared with the original:", "module", []column{
				{"rewriting, ms per MB", "meter/*/rewrite", "a megabyte"}, {"size of the code", "meter/*/code", "meter/*/code before"},
				{"time to compile", "meter/*/compile", "meter/*/compile before"}}},
		}},
	{"Compiling",
		`A program starts and needs one module of a Go guest. It is compiled in a child process with limits, and the result is kept on disk.`, "sandbox/compile",
		[]grid{{"Each start, compared with the first:", "start", []column{
			{"CPU ms", "compile/*/cpu", ""}, {"ms", "compile/*/clock", ""},
			{"CPU ÷ first", "compile/*/cpu", "compile/first/cpu"}, {"time ÷ first", "compile/*/clock", "compile/first/clock"}}}}},
	{"From an edit to an answer",
		`A constant of a Go service changes, a text or a number. A text is data, and code that has been compiled is used again; a number is code, and the
module is compiled again. The time from the save of its file, which ` + "`ruedo dev --watch`" + ` sees, builds, compiles and publishes, to the
first answer of the new revision; and the time that ` + "`go build`" + ` alone takes for such an edit. The floor is that build, and then wazero alone with as
many workers as a runner has: no metering, no limits, no check. Caches are warm. This is wall time and needs an idle machine.`, "loop",
		[]grid{{"Each, compared with the build, and the edit of code with the floor:", "what", []column{
			{"ms", "loop/*", ""}, {"÷ build", "loop/*", "loop/build"}, {"÷ floor", "loop/*", "loop/floor"}}}}},
	{"Memory of an idle instance",
		`An instance of a Go guest that has served a call and waits for the next one: what 200 of them add to the private memory of the process.`, "sandbox/memory",
		[]grid{{"Each way, compared with plain wazero:", "way", []column{
			{"KiB", "memory/*", ""}, {"÷ plain", "memory/*", "memory/plain"}}}}},
	{"Next to a guest that burns its processor",
		`The p99 of a trivial call every half millisecond, while guests in the same process compute for a second each and the garbage collector runs.
This is wall time and needs an idle machine.`, "sandbox/neighbour",
		[]grid{{"Each way, compared with itself in a quiet process:", "way", []column{
			{"quiet, µs", "neighbour/p99/*/0", ""}, {"next to 1, µs", "neighbour/p99/*/1", ""}, {"next to 4, µs", "neighbour/p99/*/4", ""},
			{"1 ÷ quiet", "neighbour/p99/*/1", "neighbour/p99/*/0"}, {"4 ÷ quiet", "neighbour/p99/*/4", "neighbour/p99/*/0"}}}}},
	{"Stopping a guest at its deadline",
		`Four guests in endless loops, each with a deadline of 20 ms: how long after it they are stopped. This is wall time and needs an idle machine.`, "sandbox/kill",
		[]grid{{"Each way; the ratio compares the p99 with that of a metered guest:", "way", []column{
			{"p50 ms", "kill/p50/*", ""}, {"p99 ms", "kill/p99/*", ""}, {"longest ms", "kill/max/*", ""}, {"p99 ÷ metered", "kill/p99/*", "kill/p99/metered"}}}}},
	{"A cluster that grows",
		`Cores are processes as users run them, with an embedded etcd; runners are simulated and answer with the input. Every service has a decorator
of its own with limits and a schema, and no two schemas are equal. The time of a *call* is the processor time of the core, of the NATS server or of
nginx, without those who call and who answer; 16 connections call all services in turn, and then one *alone*: with many calls at a time, frames for
the same runner share system calls, and the more runners there are, the fewer. A *start* lasts until the core describes the last service.
*Memory* is what is resident 3 s later, code and mapped files included; the first call of a service adds its compiled schema and its metrics. A
publish is *visible* when every core describes the new revision. *Idle* is what all cores read and write in a second without calls, over
connections and in files: heartbeats of runners and members, and the log of the store. A curve is flat if no size differs from another one by more than a factor of 1.1, which is the goal for a call. A core with 10,000 services
and as many decorators has to start within 1 s and to take at most 150 MB.`, "scale",
		[]grid{
			{"One core, by number of services:", "services", scaled("services", "start", "memory", "publish", "idle")},
			{"The shape of these curves:", "figure", shapes("services")},
			{"One core with 10 services, by number of attached runners:", "lanes", scaled("lanes", "memory", "publish", "idle")},
			{"The shape of these curves:", "figure", shapes("lanes")},
			{"Clusters with a replicated store, by number of cores; a start is that of one core, memory that of each, a call that of the core that gets it:", "cores", scaled("cores", "start", "memory", "publish", "visible", "idle")},
			{"The shape of these curves:", "figure", shapes("cores")},
			{"NATS request and reply, by number of subjects with one that answers:", "subjects", scaled("subjects", "memory")},
			{"NATS request and reply on 10 subjects, by members of the queue group that answers:", "members", scaled("members", "memory")},
			{"nginx as a proxy before one server:", "servers", []column{{"call, CPU µs", "scale/nginx/*/call", ""}, {"alone, CPU µs", "scale/nginx/*/alone", ""}, {"memory, MB", "scale/nginx/*/memory", ""}}},
		}},
}

// doors returns the columns of calls through the front door.
func doors(what string) []column {
	row := func(figure string) string { return "door/" + what + "/*/" + figure }
	return []column{
		{"p50 µs", row("p50"), ""}, {"p99 µs", row("p99"), ""}, {"CPU µs", row("cpu"), ""},
		{"p50 ÷ none", row("p50"), "none"}, {"CPU ÷ none", row("cpu"), "none"}, {"p50 ÷ token", row("p50"), "token"}, {"CPU ÷ token", row("cpu"), "token"}}
}

// audited returns the columns of what is recorded in the audit, or not.
func audited(what string) []column {
	row := func(figure string) string { return "door/" + what + "/*/" + figure }
	return []column{
		{"p50 µs", row("p50"), ""}, {"CPU µs", row("cpu"), ""}, {"p50 ÷ unrecorded", row("p50"), "unrecorded"}, {"CPU ÷ unrecorded", row("cpu"), "unrecorded"}}
}

// exchanges returns the columns of a figure of exchanges: its value for net/http and
// for others, and their ratios.
func exchanges(figure string, others ...string) []column {
	row := func(of string) string { return "exchange/*/" + of + "/" + figure }
	columns := []column{{"net/http, µs", row("net-http"), ""}}
	for _, o := range others {
		columns = append(columns, column{o + ", µs", row(strings.ToLower(o)), ""})
	}
	for _, o := range others {
		columns = append(columns, column{o + " ÷ net/http", row(strings.ToLower(o)), row("net-http")})
	}
	return columns
}

// scaled returns the columns of an axis of scale: a call of many and a call alone,
// each with its ratio to that of the smallest size, and other figures.
func scaled(axis string, figures ...string) []column {
	smallest := map[string]string{"services": "10", "subjects": "10", "lanes": "1", "members": "1", "cores": "1"}[axis]
	row := func(size, figure string) string { return "scale/" + axis + "/" + size + "/" + figure }
	columns := []column{
		{"call, CPU µs", row("*", "call"), ""}, {"call ÷ " + smallest, row("*", "call"), row(smallest, "call")},
		{"alone, CPU µs", row("*", "alone"), ""}, {"alone ÷ " + smallest, row("*", "alone"), row(smallest, "alone")},
	}
	units := map[string]string{"start": "start, ms", "memory": "memory, MB", "publish": "publish, ms", "visible": "visible, ms", "idle": "idle, KB/s"}
	for _, f := range figures {
		columns = append(columns, column{units[f], row("*", f), ""})
	}
	return columns
}

// shapes returns the columns for the shapes of the curves of an axis.
func shapes(axis string) []column {
	return []column{{"largest ÷ smallest", "scale/shape/" + axis + ".*", "scale/" + axis}, {"shape", "scale/shape/" + axis + ".*", words}}
}
