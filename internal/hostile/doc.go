// Package hostile attacks a running cluster: bad modules, bad uploads, and
// guests that loop, exhaust memory, flood, forge and spy. `make hostile` runs
// it. The tests have the build tag hostile, so that `make test` stays quick.
//
// The cluster is real: one `ruedo server` on an embedded etcd and two `ruedo
// runner`, each a process of its own, built from this tree. The attacks form a
// table of rows, see row. Each row has a number, one or more moves, and the
// exact answer to each move.
//
// # What every row asserts
//
//   - Each move gets the exact code and reason, and a text with the limit, the
//     actual value and, if there is one, a fix.
//   - The processes are the same as before, and none of their children is left.
//     Within 5 s their memory, threads and open files return close to what they
//     were when the row began, and so do the goroutines of the core.
//   - The core, which runs with a GOMEMLIMIT of 384 MiB, never had more memory
//     than coreMemory. Rows can set tighter bounds.
//   - A victim is another service on the same cluster, which a process of its
//     own calls 200 times a second during the whole row. Every call is
//     answered, and its p99 stays close to that of a window of the same length
//     right before; func allowed says how close.
//   - Each reason that was returned to moves has been counted: a counter of
//     requests or calls with that result has grown in the core's /metrics.
//   - The services have a value in their environment that looks like a secret.
//     It is in no error, no answer and no line of any log.
//
// At the end the cluster still publishes and calls. Every line of every log is
// one JSON object. A dump of all goroutines of the attacked processes is
// compared with that of an equal cluster that nobody attacked.
//
// # Who is calling
//
// TestHostile has a cluster without logins. TestLogins does the same to one as it is by
// default, where callers have to log in: with credentials that are no good, among them
// JSON Web Tokens, and guesses of tokens and passwords (rows 29 and 30), as a team that
// asks for what belongs to another one (row 31), and with names that are none (row 32).
// The victim shows a token. What is limited by address comes from many addresses of this
// machine, 127.x.y.z, or from the one that the victim uses.
//
// # Web pages
//
// Row 39 has a part for browsers, in both tests: a page of an evil site tries all that a
// page can do to a core, in a headless Chromium. The same page first attacks a server
// without any defence, which shows that every attempt is an attack. The row is skipped
// where there is no Chromium (Debian: the package chromium).
//
// # Streams and the network
//
// Rows 26 to 28 are services that are granted something of the network and reach for
// what they must not. Rows 47 and 48 are about services of kind http: guests that
// misuse what streams, and callers who dribble, do not read and leave.
//
// # The port
//
// Rows 39 and 41 to 46 attack the core's port itself, and every procedure of
// every service on it: those that gRPC reflection lists and those in the
// generated code. Some attacks need a core of their own: TestShutdown stops one
// while peers hold connections open, TestDescriptors limits one to a few
// descriptors.
//
// TestPort fuzzes the port: valid messages, mutated ones and noise, in every
// protocol and codec, over HTTP/1.1 and HTTP/2, alongside the victim.
// RUEDO_PORT_FUZZ is how long it takes, 30s by default, and RUEDO_PORT_SEED
// repeats what an earlier run sent:
//
//	make hostile HOSTILE_RUN=TestPort PORT_FUZZ=10m
//
// RUEDO_HOSTILE_BIN is the path of a built ruedo; without it the tests build
// one.
package hostile
