//go:build e2e

package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// What a user of orchestrator on raft does, with our words: three cores, each with
// its own part of a replicated store, and no other software. It is the walk of
// docs/high-availability.md; TestThreeCoresKeepTheirStoreThemselves,
// TestTheLeaderIsReplaced and TestFaults look into each of its steps more deeply.
//
// Of the list of what a user of orchestrator finds, these numbers are not here,
// because they come with later work: 15 audit, 16 records of attempts, 17
// flapping, 18 a global stop, 19 hooks, 20 results for other systems, 21
// authentication, 22 mTLS with a filter of subjects, 23 the web UI, 25 reload
// without restart. 14 and 24 have tests of their own in core and internal/cli.
func TestAWalkWithoutOtherSoftware(t *testing.T) {
	w := newWalk(t, "high-availability.md", "A walk without other software")

	const (
		serves   = "core is serving"
		attached = "attached to core"
		two      = "ruedo server --port 7843 --peer-address 127.0.0.1:7844 --data-dir ./core-2 --join http://127.0.0.1:7833"
		three    = "ruedo server --port 7853 --peer-address 127.0.0.1:7854 --data-dir ./core-3 --join http://127.0.0.1:7833"
		call     = `ruedo call greet -d '{"name":"Ada"}'`
	)
	otherThan := func(core string) func(answer) bool {
		return func(a answer) bool { return !strings.Contains(a.out, w.here(core)) }
	}

	// Start.
	w.types("export RUEDO_SERVER_DISTRIBUTED_EXECUTION=true")
	w.starts("ruedo server --port 7833 --peer-address 127.0.0.1:7834 --data-dir ./core-1", serves)
	second := w.starts(two, serves)
	third := w.starts(three, serves)
	w.starts(`ruedo runner --name rack7 --cores "http://127.0.0.1:7833 http://127.0.0.1:7843 http://127.0.0.1:7853"`, attached)
	w.starts(`ruedo runner --name rack8 --cores "http://127.0.0.1:7833 http://127.0.0.1:7843 http://127.0.0.1:7853"`, attached)
	w.types(`export RUEDO_CLIENT_HOSTS="127.0.0.1:7833 127.0.0.1:7843 127.0.0.1:7853"`)
	w.types("ruedo get members")
	w.types("ruedo get cores")
	w.types("ruedo get runners")

	// One core leads, and that is visible; whether it is well is another question.
	w.types("ruedo leader yield --to core-zwgqyekk")
	w.types("ruedo get leader -o json")
	w.types("curl -i http://127.0.0.1:7843/leader-check")
	w.types("curl -i http://127.0.0.1:7833/leader-check")
	w.types("curl -i http://127.0.0.1:7853/leader-check/503")
	w.types("curl http://127.0.0.1:7833/readyz")

	// Any core will do, and a job goes to the one that leads.
	w.types("ruedo new greet")
	w.types("ruedo --host 127.0.0.1:7853 publish greet")
	w.types(call)
	w.types("ruedo job run collect-modules --dry-run")

	// Maintenance has an owner, a reason and an end, and nobody else takes it over.
	w.types("ruedo create user bob --machine --role admin")
	w.types("ruedo create token --user bob > bob.token")
	w.types("ruedo cordon rack7 --reason 'new disk' --for 2h")
	w.types("ruedo cordon rack7")
	w.types(`curl -H "Authorization: Bearer $(cat bob.token)" -H 'Content-Type: application/json' -d '{"runner":"rack7","from":"bob@desk","reason":"mine"}' http://127.0.0.1:7853/ruedo.v1.CordonService/CordonRunner`)

	// A leader that is cut off is replaced, and does not act when it is back.
	second.signal(t, syscall.SIGSTOP)
	w.types("ruedo get leader", otherThan("core-zwgqyekk"))
	second.signal(t, syscall.SIGCONT)
	w.types("curl -i http://127.0.0.1:7843/leader-check")

	// A leader that dies is replaced, and nothing is lost.
	w.types("ruedo leader yield --to core-zwgqyekk")
	w.kills(second)
	w.types("ruedo get leader", otherThan("core-zwgqyekk"))
	w.types("ruedo inspect cluster health").exits(1)
	w.types("ruedo create decorator small --limit memory=32MiB")
	w.types(call)
	w.types("ruedo get runners -o wide")

	// Without a quorum, calls and reads go on, and writes say what is missing.
	w.kills(third)
	w.types("ruedo get status")
	w.types("ruedo inspect cluster health").exits(2)
	w.types("ruedo create decorator large --limit memory=512MiB").exits(6)
	w.types(call)

	// Those that come back catch up on their own.
	second = w.starts(two, serves)
	third = w.starts(three, serves)
	w.types("ruedo get members")
	w.types("ruedo --host 127.0.0.1:7843 get decorators")
	w.types("ruedo create decorator large --limit memory=512MiB")

	// A member that lost its disk is replaced.
	w.interrupts(third)
	w.types("rm -r core-3")
	w.types("ruedo member replace 127.0.0.1:7854 --yes")
	w.starts(three, serves)

	// One more member, behind a NAT, in the place of another one.
	w.starts("ruedo server --port 7863 --advertise-url http://localhost:7863 --peer-address 127.0.0.1:7864 --peer-advertise-url http://localhost:7864 --data-dir ./core-4 --join http://127.0.0.1:7833", serves)
	w.types("ruedo get cores")
	w.types("ruedo member remove 127.0.0.1:7844 --yes")
	w.types("ruedo --host 127.0.0.1:7843 get status")
	w.types("ruedo get members")
	w.interrupts(second)
	w.types(two).exits(5)

	w.types("ruedo uncordon rack7")
	w.types(call)
	w.arrives()
}
