package resource

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// profileInfo is a profile, and whether commands use it; as a message, it is
// what programs read.
type profileInfo struct {
	*structpb.Struct
	*profile.Profile
	used bool
}

func newProfileInfo(p *profile.Profile, used bool) profileInfo {
	list := make([]any, len(p.Hosts))
	for i, h := range p.Hosts {
		list[i] = hosts.Shown(h)
	}
	m, err := structpb.NewStruct(map[string]any{"name": p.Name, "hosts": list, "cluster_id": p.ClusterID, "in_use": used})
	if err != nil { // some of it is no text
		m = &structpb.Struct{}
	}
	return profileInfo{m, p, used}
}

func profiles() *verb.Noun {
	type P = profileInfo
	return &verb.Noun{
		Name: "profile", Plural: "profiles",
		Get: verb.Get[P, profileNames]{
			Doc:  verb.Doc{Help: "List the profiles on this machine.", Examples: []string{"ruedo get profiles"}},
			Here: listProfiles,
			Message: func(items []P) proto.Message {
				list := &structpb.ListValue{}
				for _, p := range items {
					list.Values = append(list.Values, structpb.NewStructValue(p.Struct))
				}
				return &structpb.Struct{Fields: map[string]*structpb.Value{"items": structpb.NewListValue(list)}}
			},
			Name:  func(p P) string { return p.Name },
			Empty: "no profiles yet: ruedo create profile prod --host core-1:7833",
			Columns: []output.Column[P]{
				{Head: "NAME", Cell: func(p P) string { return p.Name }},
				{Head: "IN USE", Cell: func(p P) string { return yes(p.used) }},
				{Head: "CLUSTER", Cell: func(p P) string { return p.ClusterID }},
				{Head: "HOSTS", Cell: func(p P) string { return p.Shown() }},
			},
		},
		Create: verb.Create[nothing]{
			Doc: verb.Doc{
				Help: "Create a profile of the cores that --host names.",
				Examples: []string{
					"ruedo create profile prod --host core-1:7833,core-2:7833,core-3:7833",
					"ruedo create profile lab --host https://lab.example.net --cluster-id lab",
				},
			},
			Do: createProfile,
		},
		Delete: verb.Delete{
			Doc: verb.Doc{Help: "Delete a profile on this machine.", Examples: []string{"ruedo delete profile lab --yes"}},
			Here: func(s *session.Session, name string) (proto.Message, error) {
				return &structpb.Struct{}, s.Profiles().Delete(name)
			},
		},
	}
}

// profileNames is the arguments of the list of profiles.
type profileNames struct {
	Names []string `arg:"" name:"name" optional:"" complete:"profile" help:"List only this one. May be repeated."`
}

// Single reports whether one profile is asked for.
func (a profileNames) Single() bool { return len(a.Names) == 1 }

func listProfiles(s *session.Session, a profileNames) ([]profileInfo, error) {
	all, failed := s.Profiles().List()
	used := s.Settings.Used()
	var items []profileInfo
	if len(a.Names) > 0 {
		all, failed = nil, nil
		for _, name := range a.Names {
			p, err := s.Profiles().Load(name)
			if err != nil {
				failed = append(failed, err)
				continue
			}
			all = append(all, p)
		}
	}
	for _, p := range all {
		if p.Warning != "" && p.Name != used { // that one has been warned of
			s.Warnf("%s", p.Warning)
		}
		items = append(items, newProfileInfo(p, p.Name == used))
	}
	return items, session.Failures(failed)
}

// createProfile creates a profile of the cores on the command line. It asks them
// for their cluster, so that a profile never mixes two.
func createProfile(s *session.Session, name string, _ nothing) (proto.Message, error) {
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
	p := &profile.Profile{Name: name, Hosts: list, ClusterID: id}
	if err := s.Profiles().Create(p); err != nil {
		return nil, err
	}
	return newProfileInfo(p, false), nil
}

// checkWait is how long creating a profile waits for its cores.
const checkWait = 2 * time.Second

// clusterOf returns the cluster of the cores that answer, "" if none does. It
// fails if they belong to different ones.
func clusterOf(s *session.Session, list []string) (string, error) {
	ctx, cancel := context.WithTimeout(s.Ctx, checkWait)
	defer cancel()
	ids := make([]string, len(list))
	var wg sync.WaitGroup
	for i, host := range list {
		wg.Go(func() {
			status, err := client.New(s.CoreURL(host)).Cluster.GetStatus(ctx, &ruedov1.GetStatusRequest{})
			if err == nil {
				ids[i] = status.GetClusterId()
			}
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
