//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// What a user of torero does with a cluster, with our words: modes by
// configuration, an etcd that several clusters share, runners that come and go, and
// catalogs that move. It is the walk of docs/operations.md; TestDistributedExecution
// looks more deeply into calls and runners, and the scripts of internal/cli into
// each command.
//
// Of the list of what a user of torero finds, these numbers are not here: 3 and 4
// login, 11 secrets and 23 TLS between processes come with the issues of trust; 7
// has hosts but no TLS of etcd, 8 to 10, 12 and 25 are about a service and not about
// a cluster, and TestNewcomer has them.
func TestAWalkThroughACluster(t *testing.T) {
	w := newWalk(t, "operations.md", "A walk through a cluster")
	startEtcd(t, t.TempDir(), w.here("2379"), w.here("2389"))

	const (
		serves     = "core is serving"
		registered = "registered runner with etcd database"
		call       = `ruedo call greet -d '{"name":"Ada"}'`
	)

	// What each process is.
	w.writes("core.yaml")
	w.writes("runner-1.yaml")
	w.writes("runner-2.yaml")
	w.writes("client.yaml")
	w.starts("ruedo --config core.yaml", serves)
	w.types("export RUEDO_CONFIG=client.yaml")
	w.types("ruedo version --show-config")
	w.types("ruedo new greet")
	w.types("ruedo publish greet").exits(6)

	// Runners register, take turns, and log what they did.
	one := w.starts("ruedo --config runner-1.yaml", registered)
	two := w.starts("ruedo --config runner-2.yaml", registered)
	w.types("ruedo get runners")
	w.types("ruedo get runners -o json")
	w.types("ruedo publish greet")
	w.types(`for i in 1 2 3 4 5 6; do ruedo call greet -d '{"name":"Ada"}' >/dev/null; done`)
	w.types("ruedo get runners")
	for _, p := range []*process{one, two} {
		testkit.Within(t, longEnough, "the runner has logged its three calls", func() bool { return p.count("executed call") == 3 })
	}

	// Bad input ends at the core.
	w.types(`ruedo call greet -d '{"nme":"Ada"}'`).exits(8)
	w.types("ruedo call greet --set name=Ada")

	// Several cores are one.
	w.starts("RUEDO_SERVER_PORT=7843 ruedo --config core.yaml", serves)
	w.types("ruedo --host 127.0.0.1:7843 get services -o name")
	w.types(`ruedo --host 127.0.0.1:7843 call greet -d '{"name":"Ada"}'`)
	w.types("ruedo get cores")
	w.types("ruedo inspect cluster health").exits(0)
	w.types("ruedo inspect cluster activity")

	// A runner leaves.
	w.interrupts(two)
	w.types("ruedo get runners -o name", func(a answer) bool { return strings.Count(a.out, "\n") == 1 })
	w.types(call)

	// Two clusters on one etcd.
	w.writes("other.yaml")
	w.starts("ruedo --config other.yaml", serves)
	w.types("ruedo create profile a --host 127.0.0.1:7833,127.0.0.1:7843")
	w.types("ruedo create profile b --host 127.0.0.1:7853")
	w.types("ruedo use a")
	w.types("ruedo get profiles")
	w.types("ruedo --profile b get services")
	w.types("ruedo --profile b get runners", func(a answer) bool { return !strings.Contains(a.out, "rack") })
	w.types(`ruedo --profile b call greet -d '{"name":"Ada"}'`).exits(3)

	// What is live goes from one to the other.
	w.types("ruedo db export site")
	w.types("ruedo db import site --validate")
	w.types("ruedo --profile b db import site --check")
	w.types("ruedo --profile b db import site")
	w.types(`ruedo --profile b call greet -d '{"name":"Ada"}'`)
	w.types("ruedo --profile b publish greet --env MODE=test")
	w.types("ruedo --profile b db import site").exits(5)
	w.types("ruedo --profile b db import site --check")
	w.types("ruedo --profile b db import site --force")

	// A catalog moves to another store, and back.
	w.types("ruedo db migrate --to-data-dir laptop --check")
	w.types("ruedo db migrate --to-data-dir laptop")
	w.types("ruedo db migrate --to-data-dir laptop").exits(5)
	w.types("ruedo db migrate --to-data-dir laptop --force")
	w.types("export RUEDO_STORE_DATA_DIR=laptop")
	w.types("export RUEDO_APPLICATION_CLUSTER_ID=site-a")
	w.types(`ruedo --local call greet -d '{"name":"Ada"}'`)
	w.types(`ruedo --local db migrate --to-etcd-hosts "127.0.0.1:2379 127.0.0.1:2389" --to-cluster-id site-c --check`)
	w.types(`ruedo --local db migrate --to-etcd-hosts "127.0.0.1:2379 127.0.0.1:2389" --to-cluster-id site-c`)
	w.arrives()
}
