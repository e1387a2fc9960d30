// Package doctor is the command doctor: what is wrong with this machine, for a
// core or a runner, and with the cluster.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/checkup"
	"github.com/ruedo-dev/ruedo/internal/cli/object"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

const (
	ok      = ruedov1.HealthLevel_HEALTH_LEVEL_OK
	warning = ruedov1.HealthLevel_HEALTH_LEVEL_WARNING
	bad     = ruedov1.HealthLevel_HEALTH_LEVEL_BAD
)

const (
	// patience is how long the cluster has to answer.
	patience = 10 * time.Second
	// maxOffset is how far the clock of this machine can differ from that of a
	// core without a warning.
	maxOffset = time.Second
	// maxHosts bounds the hosts of an etcd that are tried, connectTimeout how long
	// each has to accept a connection, and slowConnect how long that can take
	// without a warning.
	maxHosts       = 8
	connectTimeout = 2 * time.Second
	slowConnect    = 200 * time.Millisecond
)

// Doctor is `ruedo doctor`.
type Doctor struct {
	DataDir string `placeholder:"DIR" setting:"store.data_dir"`
}

// Help is the part of the help that comes after the first line.
func (*Doctor) Help() string {
	return `Looks at this machine as a core or a runner with these settings would use it: ports,
clock, limit of open files, what the sandbox needs of the kernel, memory against
GOMEMLIMIT, the disks of the store and of the cache, and the way to an etcd. Then it
asks the cluster, if a core answers, as ruedo inspect cluster health does. It starts
nothing, and removes the small files that it writes to measure the disks.

Exit code 0: all is well. 1: a warning. 2: something does not work.`
}

func (*Doctor) Examples() []string {
	return []string{"ruedo doctor", "ruedo doctor -o json"}
}

func (*Doctor) Run(s *session.Session) error {
	set := s.Settings
	res := &ruedov1.GetHealthResponse{}
	limit, where := memoryLimit()
	res.Checks = slices.Concat(
		port(s.Ctx, "server.port", set.Server.ListenAddress, set.Server.Port),
		portOf(s.Ctx, "server.apps_listen", set.Server.AppsListen),
		portOf(s.Ctx, "store.peer_address", set.Store.PeerAddress),
		clock(),
		openFiles(fileLimit()),
		sandbox(),
		memory(s.Getenv("GOMEMLIMIT"), limit, where),
		store(s.Ctx, set.Store.EtcdHosts, cmp.Or(set.Store.DataDir, filepath.Join(set.Application.WorkingDir, "store"))),
		disk("cache", s.CacheDir()),
		cluster(s, res),
	)
	res.Level = checkup.Worst(res.Checks)
	level := object.Word(res.GetLevel())
	done, err := s.PrintMessage(res, level)
	if !done {
		if err = checkup.Print(s, res.GetChecks()); err == nil {
			err = s.Printf("all together: %s", level)
		}
	}
	if err != nil {
		return err
	}
	return checkup.Result(res.GetLevel())
}

// found returns one check.
func found(level ruedov1.HealthLevel, name, message, fix string) []*ruedov1.HealthCheck {
	return []*ruedov1.HealthCheck{{Name: name, Level: level, Message: message, Fix: fix}}
}

// port reports whether a core could listen at an address. What listens there
// already may be one.
func port(ctx context.Context, setting, host string, number int) []*ruedov1.HealthCheck {
	if number == 0 {
		return found(ok, "port", "any free one ("+setting+")", "")
	}
	address := net.JoinHostPort(host, strconv.Itoa(number))
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		_ = l.Close()
		return found(ok, "port", address+" is free", "")
	case session.Listening(ctx, "http://"+address):
		return found(ok, "port", address+" is in use: something listens there, which should be a core", "")
	}
	return found(bad, "port", "nothing can listen on "+address+": "+err.Error(), "choose another with "+setting+", or end the program that has it")
}

// portOf is port for a setting that is a host:port; "" is not checked.
func portOf(ctx context.Context, setting, address string) []*ruedov1.HealthCheck {
	if address == "" {
		return nil
	}
	host, number, err := net.SplitHostPort(address)
	n, convert := strconv.Atoi(number)
	if err != nil || convert != nil {
		return found(bad, "port", strconv.Quote(address)+" is no host:port", "set "+setting+" to one, for example 127.0.0.1:7834")
	}
	return port(ctx, setting, host, n)
}

// store looks at where a core would keep its store: hosts of an etcd, or a
// directory if there are none.
func store(ctx context.Context, hosts []string, dir string) []*ruedov1.HealthCheck {
	if len(hosts) == 0 {
		return disk("store", dir)
	}
	hosts = hosts[:min(len(hosts), maxHosts)]
	var silent []string
	slowest := time.Duration(0)
	for _, host := range hosts {
		began := time.Now()
		conn, err := (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, "tcp", host)
		if err != nil {
			silent = append(silent, err.Error())
			continue
		}
		_ = conn.Close()
		slowest = max(slowest, time.Since(began))
	}
	what := fmt.Sprintf("%d of %d hosts of the etcd accept a connection", len(hosts)-len(silent), len(hosts))
	const fix = "start the etcd, look at the network, or correct store.etcd_hosts"
	switch {
	case len(silent) == len(hosts):
		return found(bad, "etcd", what+": "+strings.Join(silent, "; "), fix)
	case len(silent) > 0:
		return found(warning, "etcd", what+": "+strings.Join(silent, "; "), fix)
	case slowest > slowConnect:
		return found(warning, "etcd", what+", the slowest within "+output.Duration(slowest), "put cores nearer to the etcd: each publish waits for it several times")
	}
	return found(ok, "etcd", what+", the slowest within "+output.Duration(slowest), "")
}

// cluster asks the cluster how it is, and compares clocks.
func cluster(s *session.Session, res *ruedov1.GetHealthResponse) []*ruedov1.HealthCheck {
	core, err := s.Remote(s.Ctx)
	if err != nil {
		return found(bad, "cluster", err.Error(), fault.FromError(err).Fix)
	}
	if core == nil {
		return found(ok, "cluster", "none is asked: commands here work on a store of their own (mode local)", "")
	}
	ctx, cancel := context.WithTimeout(s.Ctx, patience)
	defer cancel()
	began := time.Now()
	local, err := core.Inspect.GetLocalHealth(ctx, &ruedov1.GetLocalHealthRequest{})
	took := time.Since(began)
	if err != nil {
		return found(warning, "cluster", err.Error(), "start a core there, or name another with --host")
	}
	offset := local.GetTime().AsTime().Sub(began.Add(took / 2))
	checks := found(ok, "cluster", "core "+local.GetCore().GetId()+" answers within "+output.Duration(took), "")
	if apart := offset.Abs() - took/2; apart > maxOffset {
		checks = append(checks, found(warning, "clock", "the clock of this machine and that of core "+local.GetCore().GetId()+" are "+output.Duration(offset.Abs())+" apart",
			"have all machines take the time from the same source (NTP)")...)
	}
	health, err := core.Inspect.GetHealth(ctx, &ruedov1.GetHealthRequest{})
	if err != nil {
		return append(checks, found(warning, "cluster", err.Error(), "try again; if it lasts, look at the log of the core")...)
	}
	res.ClusterId, res.Cores, res.Runners, res.Members, res.Leader = health.GetClusterId(), health.GetCores(), health.GetRunners(), health.GetMembers(), health.GetLeader()
	return append(checks, health.GetChecks()...)
}
