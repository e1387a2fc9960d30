package etcdembed

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/ruedo-dev/ruedo/internal/etcdembed/datadir"
	"github.com/ruedo-dev/ruedo/internal/etcdembed/peers"
	"github.com/ruedo-dev/ruedo/internal/fault"
)

// Recovered describes a store after [Recover].
type Recovered struct {
	// Gone are the members that the store had besides this one.
	Gone []peers.Member
	// Revision is the last change that the store has.
	Revision int64
}

// Recover makes the member of a data directory the only one of its store, for when
// more than half of the members are lost for good. Everything that it has received
// is kept, even if it did not know yet that the others have it too. Changes that
// only the others have are lost. The others must never run again with their data:
// they would be a second store. cfg.Peers is not used. No process may use the
// directory.
//
// It fails with DATA_DIR if there is no data, and as Start does.
func Recover(ctx context.Context, cfg Config) (*Recovered, error) {
	if !datadir.Exists(cfg.Dir) {
		return nil, fault.New(fault.DataDir, "there is no store in %s to recover", cfg.Dir).
			WithFix("name the data directory of a member that is left").With("path", cfg.Dir)
	}
	cfg.Peers, cfg.recover = nil, true
	s, err := Start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	r := &Recovered{}
	op, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := s.client.Get(op, "\x00", clientv3.WithCountOnly())
	if err == nil {
		r.Revision = got.Header.Revision
		for _, m := range s.dir.Members {
			if m.ID != got.Header.MemberId {
				r.Gone = append(r.Gone, m)
			}
		}
	} else {
		err = fault.Wrap(err, fault.StoreUnavailable, "the store does not answer after its recovery: %v", err)
	}
	if closed := s.Close(); err == nil {
		err = closed
	}
	return r, err
}
