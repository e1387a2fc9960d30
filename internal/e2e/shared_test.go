//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// What a user of orchestrator on a shared backend does, with our words: several
// services on one database, one leader at a time, commands from anywhere, and
// maintenance that locks. It is the second walk of docs/high-availability.md;
// TestTheLeaderIsReplaced and TestCallsGoOnWithoutTheStore look more deeply. What is
// not here is said at TestAWalkWithoutOtherSoftware.
func TestAWalkWithASharedEtcd(t *testing.T) {
	w := newWalk(t, "high-availability.md", "A walk with a shared etcd")
	data := t.TempDir()
	etcd := startEtcd(t, data, w.here("2379"))

	const (
		serves     = "core is serving"
		registered = "registered runner with etcd database"
		call       = `ruedo call greet -d '{"name":"Ada"}'`
	)
	w.types("export RUEDO_STORE_ETCD_HOSTS=127.0.0.1:2379")
	w.types("export RUEDO_SERVER_DISTRIBUTED_EXECUTION=true")
	first := w.starts("ruedo server --port 7833", serves)
	second := w.starts("ruedo server --port 7843", serves)
	w.starts("ruedo server --port 7853", serves)
	w.starts("ruedo runner --name rack7", registered)
	w.starts("ruedo runner --name rack8", registered)
	w.types(`export RUEDO_CLIENT_HOSTS="127.0.0.1:7833 127.0.0.1:7843 127.0.0.1:7853"`)

	// One leader at a time.
	w.types("ruedo create user bob --machine --role admin")
	w.types("ruedo create token --user bob > bob.token")
	w.types("ruedo get cores")
	w.types("ruedo leader yield --to core-7124azc4")
	w.types("curl http://127.0.0.1:7833/leader-check")
	w.types("curl -i http://127.0.0.1:7843/leader-check/503")
	w.types(`curl -s -H "Authorization: Bearer $(cat bob.token)" http://127.0.0.1:7833/metrics | grep ^ruedo_leader`)
	w.types(`curl -s -H "Authorization: Bearer $(cat bob.token)" http://127.0.0.1:7843/metrics | grep ^ruedo_leader`)

	// Commands from anywhere.
	w.types("ruedo --host 127.0.0.1:7843 create decorator small --limit memory=32MiB")
	w.types("ruedo --host 127.0.0.1:7853 create decorator small --limit memory=64MiB").exits(5)
	w.types("ruedo new greet")
	w.types("ruedo publish greet")
	w.types("ruedo --host 127.0.0.1:7853 call greet -d '{\"name\":\"Ada\"}'")

	// Maintenance locks.
	w.types("ruedo drain rack7 --reason 'kernel update' --for 1h")
	w.types(`curl -H "Authorization: Bearer $(cat bob.token)" -H 'Content-Type: application/json' -d '{"runner":"rack7","from":"bob@desk","reason":"mine"}' http://127.0.0.1:7853/ruedo.v1.CordonService/CordonRunner`)

	// Another core picks up.
	w.interrupts(first)
	w.kills(second)
	w.types("ruedo get leader")
	w.types("ruedo get cores -o name", func(a answer) bool { return strings.Count(a.out, "\n") == 1 })
	w.types("ruedo describe runner rack7")
	w.types(call)
	w.types("ruedo job run expire-cordons")

	// The database goes away and comes back.
	w.kills(etcd)
	w.types("ruedo get status")
	w.types("ruedo delete decorator small --yes").exits(6)
	w.types(call)
	startEtcd(t, data, w.here("2379"))
	w.types("ruedo get status")
	w.types("ruedo delete decorator small --yes")
	w.types("ruedo uncordon rack7")
	w.arrives()
}
