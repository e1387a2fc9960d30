// Package hostile attacks a running cluster: bad modules, bad uploads, guests
// that loop, eat, flood, forge and spy. `make hostile` runs it; the tests carry
// the build tag hostile, so that `make test` stays quick.
//
// The cluster is real: one `ruedo server` on an embedded etcd and two
// `ruedo runner`, each a process of its own, built from this tree. Attacks stand
// in a table of rows, see row; each has a number, one or more moves, and for
// each move the exact answer.
//
// # What every row asserts
//
//   - Each move gets the exact code and reason, and a text with the limit, the
//     actual value and what to do, where there is something to do.
//   - The processes are the same as before, and none of their children is left.
//     Within 5 s their memory, threads and open files are back near what they
//     were when the row began, and so are the goroutines of the core.
//   - The core, which runs with a GOMEMLIMIT of 384 MiB, never had more memory
//     than that. Rows bound it further.
//   - A victim, another service on the same cluster that a process of its own
//     calls 200 times a second through the whole row, is answered every time,
//     and its p99 stays where it was in a window of the same length right before;
//     how near is said at func allowed.
//   - Each reason that moves were answered with has been counted: a counter of
//     requests or calls with that outcome has grown in the core's /metrics.
//   - The services carry a value in their environment that looks like a secret.
//     It is in no error, no answer and no line of any log.
//
// At the end the cluster still publishes and calls, every line of every log is
// one JSON object, and a dump of all goroutines of the attacked processes is
// held against that of an equal cluster that nobody attacked.
//
// # The port
//
// Rows 39 and 41 to 46 attack the core's port itself, and walk every procedure
// of every service on it: those that gRPC reflection names and those that are
// generated. Some attacks need a core of their own: TestShutdown stops one that
// peers hold on to, TestDescriptors leaves one few descriptors.
//
// TestPort fuzzes the port: valid messages, mutated ones and noise, in every
// protocol and codec, over HTTP/1.1 and HTTP/2, with the victim beside it.
// RUEDO_PORT_FUZZ is how long it takes, 30s by default, and RUEDO_PORT_SEED
// repeats what a run has sent:
//
//	make hostile HOSTILE_RUN=TestPort PORT_FUZZ=10m
//
// RUEDO_HOSTILE_BIN names a built ruedo; without it the tests build one.
package hostile
