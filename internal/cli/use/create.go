package use

import (
	"context"
	"sync"
	"time"

	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// Create creates a profile of the cores on the command line. It asks them for
// their cluster, so that a profile never mixes two.
func Create(s *session.Session, name string) (*profile.Profile, error) {
	list, id := s.Settings.Flags()
	if len(list) == 0 {
		return nil, fault.New(fault.Usage, "a profile needs the addresses of cores").
			WithFix("ruedo create profile %s --host HOST, with several hosts separated by commas", name)
	}
	found, err := clusterOf(s, list)
	switch {
	case err != nil:
		return nil, err
	case found == "":
		s.Warnf("no core answers at %s: the profile is not checked", (&profile.Profile{Hosts: list}).Shown())
	case id == "":
		id = found
	case id != found:
		return nil, fault.New(fault.ClusterMismatch, "the cores belong to cluster %q, not to %q", found, id).WithFix("leave out --cluster-id, or correct it or the hosts")
	}
	files := s.Certificate(nil).Absolute()
	p := &profile.Profile{Name: name, Hosts: list, ClusterID: id, CertificateFile: files.Certificate, PrivateKeyFile: files.PrivateKey}
	if err := s.Profiles().Create(p); err != nil {
		return nil, err
	}
	return p, nil
}

// checkWait is how long creating a profile waits for its cores.
const checkWait = 2 * time.Second

// clusterOf returns the cluster of the cores that answer, "" if none does. It
// fails if they belong to different ones.
func clusterOf(s *session.Session, list []string) (string, error) {
	ctx, cancel := context.WithTimeout(s.Ctx, checkWait)
	defer cancel()
	opts, err := s.Believing(nil)
	if err != nil {
		return "", err
	}
	opts = append(opts, client.WithRetries(0))
	ids := make([]string, len(list))
	var wg sync.WaitGroup
	for i, host := range list {
		wg.Go(func() {
			ids[i], _ = client.New(s.CoreURL(host), opts...).ClusterID(ctx) // "" if it does not answer
		})
	}
	wg.Wait()
	first := -1
	for i, id := range ids {
		switch {
		case id == "":
		case first < 0:
			first = i
		case id != ids[first]:
			return "", fault.New(fault.ClusterMismatch, "the core at %s belongs to cluster %q, the one at %s to %q", hosts.Shown(list[first]), ids[first], hosts.Shown(list[i]), id).
				WithFix("create a profile for each cluster")
		}
	}
	if first < 0 {
		return "", s.Ctx.Err()
	}
	return ids[first], nil
}
