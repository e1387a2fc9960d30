package mirror

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

// askAgain is how long to wait for a progress answer before asking again. The
// store does not answer while it is still catching up with a watch.
const askAgain = 25 * time.Millisecond

// maxPending bounds the events that wait for a watch that lags behind.
const maxPending = 10_000

// removeTime bounds waiting for the client to remove a watch.
const removeTime = 50 * time.Millisecond

var (
	errBehind     = errors.New("a watch is too far behind the others")
	errFormat     = errors.New("the storage format has changed")
	errWatchEnded = errors.New("a watch has ended")
	errRelist     = errors.New("the store is not the one that was watched")
	errReturned   = errors.New("the store was away, or has another leader")
	errStuck      = errors.New("the watch makes no progress")
)

// follower is one run of the watches, from one list to the next.
type follower struct {
	m *Mirror
	// seen is, for each watch, the revision up to which it has reported everything.
	seen []int64
	// pending are events that are not visible yet, because another watch may
	// still report older ones.
	pending []*clientv3.Event
	ask     chan struct{}
}

// message is a message from one of the watches.
type message struct {
	watch int
	clientv3.WatchResponse
}

// follow watches from the applied revision on, until a watch breaks, the store
// must be listed again, or ctx ends.
//
// There is one watch for each table and one for the format, and etcd guarantees
// order only within each watch. So an event is held back until the other
// watches are known to have passed its revision. To find out, follow requests
// progress. The answer goes to all watches of the stream, to each after its
// events.
//
// The watches end when their connection is lost: on the next one, an older copy of
// the store may answer, whose revisions mean something else.
//
// No step waits for the store without ctx: a watch that the store never creates
// is found as one that makes no progress. At the end, the watches are removed one
// after the other. An etcd in this process stops reporting anything, without an
// error, on a stream of which many watches are cancelled together.
func (m *Mirror) follow(ctx context.Context) error {
	// With this metadata, the watches get their own stream. Otherwise other
	// watches on the same client would delay the answer, and receive it too.
	ctx = m.session.Context(ctx)
	ctx = metadata.AppendToOutgoingContext(clientv3.WithRequireLeader(ctx), "ruedo-watch", "mirror-"+strconv.Itoa(m.stream))
	select {
	case <-m.relist: // of before the list that is followed
	default:
	}
	f := &follower{m: m, ask: make(chan struct{}, 1)}
	from := m.applied.Load()
	msgs := make(chan message)
	for i, key := range m.watched() {
		f.seen = append(f.seen, from)
		defer f.watch(ctx, msgs, i, key, from+1)()
	}
	asking, stop := context.WithCancel(ctx)
	asked := make(chan struct{})
	go func() { defer close(asked); f.asker(asking) }()
	// Before the watches end, because a request opens a stream if there is none.
	defer func() { stop(); <-asked }()
	return f.loop(ctx, msgs)
}

// watch begins one of the watches, and forwards what it reports. remove ends it,
// and waits a moment until the client has removed it.
func (f *follower) watch(ctx context.Context, msgs chan<- message, i int, key string, from int64) (remove func()) {
	ctx, cancel := context.WithCancel(ctx)
	removed := make(chan struct{})
	go func() {
		defer close(removed)
		watch := f.m.cluster.Watch(ctx, key, append(under(key), clientv3.WithRev(from))...)
		forward(ctx, msgs, i, watch)
		late := time.NewTimer(removeTime)
		defer late.Stop()
		for open := true; open; {
			select {
			case _, open = <-watch:
			case <-late.C:
				open = false
			}
		}
	}()
	return func() { cancel(); <-removed }
}

// forward passes on what a watch reports, until the watch or ctx ends. It does not
// rely on the store to close a watch whose context has ended.
func forward(ctx context.Context, msgs chan<- message, i int, watch clientv3.WatchChan) {
	for {
		var msg message
		select {
		case r, ok := <-watch:
			if msg = (message{i, r}); !ok {
				msg.Canceled = true
			}
		case <-ctx.Done():
			return
		}
		select {
		case msgs <- msg:
		case <-ctx.Done():
			return
		}
		if msg.Canceled {
			return
		}
	}
}

// asker requests progress outside the loop, because a request blocks while the
// stream is being recreated.
func (f *follower) asker(ctx context.Context) {
	for {
		select {
		case <-f.ask:
			_ = f.m.cluster.RequestProgress(ctx) // the loop asks again if no answer comes
		case <-ctx.Done():
			return
		}
	}
}

func (f *follower) loop(ctx context.Context, msgs <-chan message) error {
	again := time.NewTimer(askAgain)
	defer again.Stop()
	for {
		ask := true // except after an answer
		select {
		case msg := <-msgs:
			news, err := f.take(msg)
			if err != nil {
				return err
			}
			// Messages that have already arrived make one change.
			for more := true; more; {
				select {
				case msg = <-msgs:
					n, err := f.take(msg)
					if err != nil {
						return err
					}
					news = news || n
				default:
					more = false
				}
			}
			ask = news
		case <-f.m.wake:
		case <-again.C:
		case err := <-f.m.relist:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := f.advance(); err != nil {
			return err
		}
		if len(f.pending) == 0 && f.m.requested.Load() <= f.m.applied.Load() {
			again.Stop()
			continue
		}
		if ask {
			signal(f.ask)
			again.Reset(askAgain)
		}
	}
}

// take processes a message and reports whether it has events.
func (f *follower) take(msg message) (news bool, err error) {
	switch {
	case msg.Err() != nil:
		return false, msg.Err()
	case msg.Canceled:
		return false, errWatchEnded
	case msg.IsProgressNotify():
		f.seen[msg.watch] = max(f.seen[msg.watch], msg.Header.Revision)
		return false, nil
	case len(msg.Events) == 0:
		return false, nil
	}
	// All events of a revision come in one message.
	f.m.contact()
	if len(f.pending)+len(msg.Events) > maxPending {
		return false, errBehind
	}
	f.pending = append(f.pending, msg.Events...)
	f.seen[msg.watch] = max(f.seen[msg.watch], msg.Events[len(msg.Events)-1].Kv.ModRevision)
	return true, nil
}

// advance makes visible what all watches have passed. If the format has changed
// by then, it fails and shows nothing: the other changes may be unreadable for
// this program, or may be the loss of everything.
func (f *follower) advance() error {
	horizon := slices.Min(f.seen)
	if horizon <= f.m.applied.Load() {
		return nil
	}
	var next *Snapshot
	if len(f.pending) > 0 {
		for _, e := range f.pending {
			if e.Kv.ModRevision <= horizon && f.m.anotherFormat(e) {
				return errFormat
			}
		}
		d := f.m.edit(f.m.Snapshot(), horizon)
		rest := f.pending[:0]
		for _, e := range f.pending {
			if e.Kv.ModRevision > horizon {
				rest = append(rest, e)
				continue
			}
			d.apply(e)
			next = d.Snapshot
		}
		clear(f.pending[len(rest):])
		f.pending = rest
	}
	f.m.show(next, horizon)
	return nil
}
