//go:build hostile

package hostile

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1"
	"github.com/ruedo-dev/ruedo/gen/ruedo/runner/v1/runnerv1connect"
	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/fault"
	"github.com/ruedo-dev/ruedo/internal/fault/faultrpc"
	"github.com/ruedo-dev/ruedo/internal/lane"
	"github.com/ruedo-dev/ruedo/internal/lane/protocol"
	"github.com/ruedo-dev/ruedo/internal/lane/upgrade/upgradetest"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/internal/testkit"
)

// laneRows attack the private protocol: anyone who can reach the port can claim
// to be a runner.
func laneRows() []*row {
	return []*row{helloRow(), laneBombRow(), pushRow(), figuresRow(), deafRow(), muteRow(), manyLanesRow()}
}

// impostor is a hand-made runner. It follows the protocol only as far as it
// wants.
type impostor struct {
	b      *bout
	id     string
	api    runnerv1connect.RunnerServiceClient
	stream *connect.BidiStreamForClientSimple[runnerv1.AttachRequest, runnerv1.AttachResponse]
	secret string
	ctx    context.Context
	cancel context.CancelFunc
	hangUp func()
	wg     sync.WaitGroup
	mu     sync.Mutex // of sends
}

// impostor returns one whose lane has a connection of its own, and each second time one
// whose lane is a stream over HTTP/2.
func (b *bout) impostor(id string) *impostor {
	two, hangUp := h2c()
	i := &impostor{b: b, id: id, hangUp: hangUp, api: runnerv1connect.NewRunnerServiceClient(two, b.url)}
	if b.serial.Add(1)%2 == 0 {
		one, hangUpOne := dialing(func(p *http.Protocols) { p.SetHTTP1(true) })
		i.api = runnerv1connect.NewRunnerServiceClient(upgradetest.Client{One: one, Two: two}, b.url)
		i.hangUp = func() { hangUpOne(); hangUp() }
	}
	i.ctx, i.cancel = context.WithCancel(b.ctx)
	return i
}

// h2c returns a client, and a function that ends its connections: a transport
// alone leaves a connection open if its last stream was just cancelled.
func h2c() (c *http.Client, hangUp func()) {
	return dialing(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
}

func dialing(speak func(*http.Protocols)) (c *http.Client, hangUp func()) {
	var mu sync.Mutex
	var conns []net.Conn
	var protocols http.Protocols
	speak(&protocols)
	tr := &http.Transport{Protocols: &protocols, DisableCompression: true, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
		}
		return conn, err
	}}
	return &http.Client{Transport: tr}, func() {
		mu.Lock()
		defer mu.Unlock()
		tr.CloseIdleConnections()
		for _, conn := range conns {
			conn.Close()
		}
	}
}

// attach says hello, and returns the core's error.
func (i *impostor) attach(change func(*ruedov1.Runner)) error {
	r := &ruedov1.Runner{Id: i.id, Name: i.id, Concurrency: 4, Queue: 16}
	if change != nil {
		change(r)
	}
	var err error
	if i.stream, err = i.api.Attach(i.ctx); err != nil {
		return err
	}
	err = i.stream.Send(&runnerv1.AttachRequest{Frames: []*runnerv1.RunnerFrame{{Kind: &runnerv1.RunnerFrame_Hello{Hello: &runnerv1.Hello{
		Runner: r, ClusterId: "hostile", Protocol: protocol.Newest}}}}})
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	res, err := i.stream.Receive()
	if err != nil {
		return err
	}
	i.secret = res.Frames[0].GetWelcome().GetLane()
	return nil
}

// serve answers the core's frames with what answer returns, and sends
// heartbeats. It prepares only the services of its row, so that it does not get
// calls of the victim.
func (i *impostor) serve(answer func(*runnerv1.CoreFrame) *runnerv1.RunnerFrame) {
	i.wg.Go(func() {
		for {
			res, err := i.stream.Receive()
			if err != nil {
				return
			}
			for _, f := range res.Frames {
				if f.GetPrepare() != nil && !strings.HasPrefix(f.GetPrepare().GetPlan().GetService(), i.b.service()) {
					i.send(&runnerv1.RunnerFrame{Id: f.Id, Kind: &runnerv1.RunnerFrame_Failure{Failure: &runnerv1.Failure{Reason: "COMPILE_FAILED", Code: uint32(connect.CodeInvalidArgument)}}})
				} else if a := answer(f); a != nil {
					a.Id = f.Id
					i.send(a)
				}
			}
		}
	})
	i.wg.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				i.send(&runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Heartbeat{Heartbeat: &runnerv1.Heartbeat{}}})
			case <-i.ctx.Done():
				return
			}
		}
	})
}

func (i *impostor) send(f *runnerv1.RunnerFrame) {
	i.mu.Lock()
	defer i.mu.Unlock()
	_ = i.stream.Send(&runnerv1.AttachRequest{Frames: []*runnerv1.RunnerFrame{f}})
}

// close ends the lane and waits until the core has seen it.
func (i *impostor) close() {
	i.cancel()
	i.wg.Wait()
	if i.stream != nil {
		_ = i.stream.CloseRequest()
		_ = i.stream.CloseResponse()
	}
	i.hangUp()
	if !testkit.Poll(10*time.Second, func() bool { return i.b.ready(i.b.ctx) == runnerCount }) {
		i.b.Errorf("runner %s is still there", i.id)
	}
}

func prepared() *runnerv1.RunnerFrame {
	return &runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Prepared{Prepared: &runnerv1.PrepareResponse{Preparation: &ruedov1.Preparation{CompileTime: durationpb.New(1)}}}}
}

// among attaches an impostor that prepares what the row publishes, publishes,
// and has do call the service.
func (b *bout) among(answer func(*impostor, *runnerv1.CoreFrame) *runnerv1.RunnerFrame, do func(service string)) {
	// Each is a runner of its own: the core remembers one that did not answer.
	i := b.impostor(fmt.Sprint("impostor-", b.serial.Add(1)))
	defer i.close()
	// Earlier rows may have used up the attempts of this address.
	var err error
	if !testkit.Poll(30*time.Second, func() bool { err = i.attach(nil); return !errors.Is(faultrpc.FromError(err), fault.LaneLimit) }) || err != nil {
		b.Errorf("it cannot attach: %v", err)
		return
	}
	i.serve(func(f *runnerv1.CoreFrame) *runnerv1.RunnerFrame { return answer(i, f) })
	service := b.service(fmt.Sprint(b.serial.Add(1)))
	if err := b.publish(b.ctx, service, b.unique(ruedotest.Echo()), timeout(time.Second)); err != nil {
		b.Errorf("publish: %v", err)
		return
	}
	do(service)
}

func helloRow() *row {
	return &row{number: 51, name: "a hello of 1.4 MB", peakCore: 64 << 20, moves: []move{{"hello", func(b *bout) {
		for range 5 {
			i := b.impostor("giant")
			err := i.attach(func(r *ruedov1.Runner) { r.Host = strings.Repeat("h", 1_400_000) })
			if e := faultrpc.FromError(err); err == nil || connect.CodeOf(err) != connect.CodeResourceExhausted {
				b.Errorf("got %v (%s), want a refusal for its size", err, e.Reason)
			}
			i.close()
		}
	}}}}
}

func laneBombRow() *row {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 256 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	send := func(b *bout, procedure, contentType string) {
		body := bomb.Bytes()
		stream := strings.Contains(contentType, "connect") || strings.Contains(contentType, "grpc")
		if stream {
			body = append(binary.BigEndian.AppendUint32([]byte{1}, uint32(len(body))), body...)
		}
		req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.url+procedure, bytes.NewReader(body))
		if err != nil {
			b.Errorf("%v", err)
			return
		}
		req.Header.Set("Content-Type", contentType)
		for _, h := range []string{"Content-Encoding", "Connect-Content-Encoding", "Grpc-Encoding"} {
			if stream == (h != "Content-Encoding") {
				req.Header.Set(h, "gzip")
			}
		}
		c, hangUp := h2c()
		defer hangUp()
		began := time.Now()
		res, err := c.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
			res.Body.Close()
		}
		b.bounded(procedure+" "+contentType, time.Since(began), time.Second)
	}
	r := &row{number: 52, name: "gzip bombs for lanes", peakCore: 64 << 20}
	for _, procedure := range []string{
		runnerv1connect.RunnerServiceAttachProcedure, runnerv1connect.RunnerServicePushOutputProcedure, runnerv1connect.RunnerServiceFetchModuleProcedure,
		runnerv1connect.RunnerServiceFetchInputProcedure, runnerv1connect.RunnerServiceGetPlanProcedure,
	} {
		types, n := []string{"application/connect+proto", "application/grpc", "application/grpc-web", "application/proto", "application/connect+json", "application/json"}, 0
		r.moves = append(r.moves, move{procedure, func(b *bout) {
			send(b, procedure, types[n%len(types)]) // one per round, so that the bytes on the wire are not a flood
			n++
		}})
	}
	return r
}

func pushRow() *row {
	return &row{number: 53, name: "pushes that do not end", once: true, peakCore: 128 << 20, moves: []move{{"push", func(b *bout) {
		var pushes sync.WaitGroup
		defer pushes.Wait()
		b.among(func(i *impostor, f *runnerv1.CoreFrame) *runnerv1.RunnerFrame {
			switch {
			case f.GetPrepare() != nil:
				return prepared()
			case f.GetExecute() != nil:
				for n := range 8 { // of each call, one frame is accepted
					pushes.Go(func() {
						began := time.Now()
						out, err := i.api.PushOutput(i.ctx)
						if err != nil {
							return
						}
						size := uint64(4 << 20)
						if n == 7 {
							size = 1 << 40
						}
						_ = out.Send(&runnerv1.PushOutputRequest{Lane: i.secret, Id: f.Id, OutputBytes: size})
						for err == nil && i.ctx.Err() == nil {
							err = out.Send(&runnerv1.PushOutputRequest{Data: make([]byte, 100)})
							time.Sleep(100 * time.Millisecond)
						}
						_, _ = out.CloseAndReceive()
						b.bounded("the end of a push after its call", time.Since(began), 10*time.Second)
					})
				}
			}
			return nil
		}, func(service string) {
			var calls sync.WaitGroup
			for range 24 {
				calls.Go(func() {
					if _, err := b.call(service, []byte(`{}`)); err != nil && fault.ReasonOf(err) != fault.Deadline {
						b.Errorf("call: %v", err)
					}
				})
			}
			calls.Wait()
		})
	}}}}
}

func figuresRow() *row {
	var answers []*runnerv1.ExecuteResponse
	for _, info := range []*ruedov1.CallInfo{
		{Duration: durationpb.New(-1)}, {Duration: &durationpb.Duration{Seconds: 1<<63 - 1}}, {CpuTime: &durationpb.Duration{Seconds: 1, Nanos: -1}},
		{RestoreTime: durationpb.New(-9)}, {MemoryBytes: 1<<64 - 1}, {Fuel: 1<<64 - 1},
	} {
		answers = append(answers, &runnerv1.ExecuteResponse{Output: []byte("{}"), Info: info})
	}
	for _, o := range []*runnerv1.Outcome{ // in the terms of lane protocol 1
		{DurationNanos: -1}, {DurationNanos: 1<<63 - 1}, {CpuNanos: -1 << 63}, {RestoreNanos: -9}, {MemoryBytes: 1<<64 - 1}, {Fuel: 1<<64 - 1},
	} {
		answers = append(answers, &runnerv1.ExecuteResponse{Output: []byte("{}"), Outcome: o})
	}
	return &row{number: 54, name: "impossible figures", once: true, peakCore: 64 << 20, moves: []move{{"figures", func(b *bout) {
		// Each time fewer than eject a runner.
		for few := range slices.Chunk(answers, 4) {
			n := 0
			b.among(func(_ *impostor, f *runnerv1.CoreFrame) *runnerv1.RunnerFrame {
				switch {
				case f.GetPrepare() != nil:
					return prepared()
				case f.GetExecute() != nil:
					n++
					return &runnerv1.RunnerFrame{Kind: &runnerv1.RunnerFrame_Executed{Executed: few[n%len(few)]}}
				}
				return nil
			}, func(service string) {
				refused := 0
				for range 3 * len(few) {
					if _, err := b.call(service, []byte(`{}`)); err != nil && errors.Is(faultrpc.FromError(err), fault.Internal) {
						refused++
					} else if err != nil {
						b.Errorf("call: %v", err)
					}
				}
				if refused != len(few) {
					b.Errorf("%d of %d calls were refused, want a third: what the impostor answered", refused, 3*len(few))
				}
			})
		}
	}}}}
}

func deafRow() *row {
	return &row{number: 55, name: "a runner that ignores Prepare", once: true, peakCore: 64 << 20, moves: []move{{"publish", func(b *bout) {
		began := time.Now()
		b.among(func(*impostor, *runnerv1.CoreFrame) *runnerv1.RunnerFrame { return nil }, func(service string) {
			b.bounded("the first publish", time.Since(began), 30*time.Second)
			began = time.Now()
			if err := b.publish(b.ctx, service, b.unique(ruedotest.Echo()), timeout(time.Second)); err != nil {
				b.Errorf("publish: %v", err)
			}
			b.bounded("the next publish", time.Since(began), 20*time.Second)
			for range 12 {
				if _, err := b.call(service, []byte(`{}`)); err != nil {
					b.Errorf("call: %v", err)
				}
			}
		})
	}}}}
}

func muteRow() *row {
	return &row{number: 56, name: "a runner that never executes", once: true, peakCore: 64 << 20, moves: []move{{"call", func(b *bout) {
		b.among(func(_ *impostor, f *runnerv1.CoreFrame) *runnerv1.RunnerFrame {
			if f.GetPrepare() != nil {
				return prepared()
			}
			return nil
		}, func(service string) {
			lost := 0
			for range 60 {
				if _, err := b.call(service, []byte(`{}`)); err != nil && fault.ReasonOf(err) == fault.Deadline {
					lost++
				} else if err != nil {
					b.Errorf("call: %v", err)
				}
			}
			if lost == 0 || lost > 3 {
				b.Errorf("%d of 60 calls were lost, want 3", lost)
			}
		})
	}}}}
}

func manyLanesRow() *row {
	return &row{number: 57, name: "thousands of lanes", once: true, peakCore: 96 << 20, moves: []move{{"attach", func(b *bout) {
		var lanes []*impostor
		refused := 0
		for n := range 300 {
			i := b.impostor(fmt.Sprint("crowd-", n))
			err := i.attach(func(r *ruedov1.Runner) { r.Host = strings.Repeat("h", 4<<10) })
			switch {
			case err == nil:
				lanes = append(lanes, i)
				continue
			case errors.Is(faultrpc.FromError(err), fault.LaneLimit):
				refused++
			default:
				b.Errorf("lane %d: %v", n, err)
			}
			i.cancel()
			i.hangUp()
		}
		if len(lanes) > lane.DefaultMaxLanesPerAddress || refused < 150 {
			b.Errorf("%d lanes of one address stand, %d were refused", len(lanes), refused)
		}
		for _, i := range lanes {
			i.cancel()
			i.hangUp()
		}
		if !testkit.Poll(10*time.Second, func() bool { return b.ready(b.ctx) == runnerCount }) {
			b.Errorf("lanes that ended are still there")
		}
	}}}}
}
