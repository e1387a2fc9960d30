package use

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/ruedo-dev/ruedo/internal/cli/hosts"
	"github.com/ruedo-dev/ruedo/internal/cli/output"
	"github.com/ruedo-dev/ruedo/internal/cli/profile"
	"github.com/ruedo-dev/ruedo/internal/cli/session"
	"github.com/ruedo-dev/ruedo/internal/cli/verb"
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
	m, err := structpb.NewStruct(map[string]any{"name": p.Name, "hosts": list, "cluster_id": p.ClusterID, "user": p.User, "certificate_file": p.CertificateFile, "in_use": used})
	if err != nil { // some of it is no text
		m = &structpb.Struct{}
	}
	return profileInfo{m, p, used}
}

// Noun is the profiles on this machine.
func Noun() *verb.Noun {
	type P = profileInfo
	return &verb.Noun{
		Name: "profile", Plural: "profiles",
		Get: verb.Get[P, verb.ByName]{
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
				{Head: "IN USE", Cell: func(p P) string { return output.Yes(p.used) }},
				{Head: "CLUSTER", Cell: func(p P) string { return p.ClusterID }},
				{Head: "USER", Cell: func(p P) string { return p.User }},
				{Head: "HOSTS", Cell: func(p P) string { return p.Shown() }},
			},
		},
		Create: verb.Create[certificateFlags]{
			Doc: verb.Doc{
				Help: "Create a profile of the cores that --host names.",
				Examples: []string{
					"ruedo create profile prod --host core-1:7833,core-2:7833,core-3:7833",
					"ruedo create profile lab --host https://lab.example.net --cluster-id lab",
					"ruedo create profile shop --host https://core-1:7833 --certificate-file ada.pem --private-key-file ada.key",
				},
			},
			Do: createProfile,
		},
		Delete: verb.Delete{
			Doc:  verb.Doc{Help: "Delete a profile on this machine.", Examples: []string{"ruedo delete profile lab --yes"}},
			Also: " and its token here",
			Here: func(s *session.Session, name string) (proto.Message, error) {
				if err := s.Profiles().Delete(name); err != nil {
					return nil, err
				}
				return &structpb.Struct{}, s.Tokens().Delete(name)
			},
		},
	}
}

func listProfiles(s *session.Session, a verb.ByName) ([]profileInfo, error) {
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

// certificateFlags are those of a client certificate.
type certificateFlags struct {
	CertificateFile string `placeholder:"FILE" setting:"client.certificate_file"`
	PrivateKeyFile  string `placeholder:"FILE" setting:"client.private_key_file"`
}

func createProfile(s *session.Session, name string, _ certificateFlags) (proto.Message, error) {
	p, err := Create(s, name)
	if err != nil {
		return nil, err
	}
	return newProfileInfo(p, false), nil
}
