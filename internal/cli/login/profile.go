package login

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/cli/credential"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/names"
	"github.com/ruedo-dev/ruedo/internal/pki"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// target is the profile that a login is kept in.
type target struct {
	name string
	old  *profile.Profile // nil: it is new
	use  bool             // by the commands that follow
}

// profile returns the profile for the cluster: the one that --profile or RUEDO_PROFILE
// names, one of the same cluster, or a new one with the name of the cluster. It fails
// if that is of another cluster.
func (at *cluster) profile(s *session.Session) (*target, error) {
	if chosen := s.Settings.Profile; chosen != nil && chosen.Origin != settingsUse {
		p, err := s.Profiles().Load(chosen.Name)
		switch {
		case errors.Is(err, fault.ProfileNotFound):
			return &target{name: chosen.Name, use: true}, nil
		case err != nil:
			return nil, err
		case !at.is(s, p):
			return nil, other(p, at)
		}
		return &target{name: p.Name, old: p}, nil
	}
	list, failed := s.Profiles().List()
	if used := s.Settings.Used(); used != "" { // it counts first
		slices.SortStableFunc(list, func(a, b *profile.Profile) int { return cmp.Compare(boolInt(b.Name == used), boolInt(a.Name == used)) })
	}
	for _, p := range list {
		if at.is(s, p) {
			return &target{name: p.Name, old: p, use: true}, nil
		}
	}
	if !names.Valid(at.id) {
		return nil, fault.New(fault.Internal, "the core says that its cluster is %q, which is not a name", fault.Cut(at.id, 64))
	}
	for _, p := range list {
		if p.Name == at.id {
			return nil, other(p, at)
		}
	}
	if _, err := s.Profiles().Load(at.id); err != nil && !errors.Is(err, fault.ProfileNotFound) {
		return nil, errors.Join(failed...)
	}
	return &target{name: at.id, use: true}, nil
}

// settingsUse is the origin of a profile that `ruedo use` has chosen.
const settingsUse = "ruedo use"

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// is reports whether a profile is for the cluster: two can have the same id.
func (at *cluster) is(s *session.Session, p *profile.Profile) bool {
	if p.ClusterID != "" && p.ClusterID != at.id {
		return false
	}
	newest := at.authority.Load()
	certs, err := s.Profiles().Authorities(p)
	switch {
	case err != nil:
		return false
	case len(certs) == 0 || newest == nil:
		return lists(s, p, at.url)
	case slices.ContainsFunc(certs, newest.Equal):
		return true
	}
	// The authority may have been rotated: then the old one vouches for the new one.
	core := client.New(at.list, append(at.certificate.Options(), client.WithAuthority(p.Authority), client.WithRetries(0))...)
	_, err = core.ClusterID(s.Ctx)
	return p.OwnsAuthority() && err == nil
}

// other returns the error for a profile that is of another cluster.
func other(p *profile.Profile, at *cluster) error {
	return fault.New(fault.AlreadyExists, "profile %s is for another cluster (%s at %s), and this is %s at %s", p.Name, cmp.Or(p.ClusterID, "of any name"), p.Shown(), output.Safe(at.id), at.url).
		WithFix("choose another name for this one: ruedo login --profile NAME")
}

// keep keeps a login: its token is verified, and then written together with the
// profile.
func (to *target) keep(s *session.Session, at *cluster, secret string, expires *timestamppb.Timestamp, said ...string) error {
	me, err := at.client(client.WithToken(client.StaticToken(secret))).Login.WhoAmI(s.Ctx, &ruedov1.WhoAmIRequest{})
	if err != nil {
		return err
	}
	p := &profile.Profile{Name: to.name, Hosts: []string{at.url}}
	if to.old != nil {
		p = to.old
		if !lists(s, p, at.url) {
			p.Hosts = append([]string{at.url}, p.Hosts...)
		}
	}
	_, p.User, _ = strings.Cut(me.GetPrincipal(), "/")
	p.ClusterID = at.id
	if newest := at.authority.Load(); newest != nil && (p.Authority == "" || p.OwnsAuthority()) {
		p.Authority = pki.PEM(newest)
	}
	if given := s.Certificate(nil).Absolute(); given != (credential.Files{}) {
		p.CertificateFile, p.PrivateKeyFile = given.Certificate, given.PrivateKey
	}
	if err := s.Tokens().Save(to.name, secret); err != nil {
		return err
	}
	if err := s.Profiles().Save(p); err != nil {
		return err
	}
	if to.use {
		if err := s.Profiles().Use(to.name); err != nil {
			return err
		}
		own := "" // the profile itself, if the settings name it
		if p := s.Settings.Profile; p != nil {
			own = "profile " + to.name + " from " + p.Origin
		}
		if by := s.Settings.OverInUse(); by != "" && by != own {
			s.Warnf("%s takes precedence over profile %s", by, to.name)
		}
	}
	if to.name != at.id {
		s.Progressf("profile %s", to.name)
	}
	if expires == nil {
		expires = me.GetToken().GetExpireTime()
	}
	return say(s, to, me, expires, said)
}

// rfc3339 writes a time for programs; "" if there is none.
func rfc3339(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(time.RFC3339)
}
