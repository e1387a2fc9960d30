package scale

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ruedo-dev/ruedo/internal/bench/load"
	"github.com/ruedo-dev/ruedo/internal/bench/process"
	"github.com/ruedo-dev/ruedo/sdk/client"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
)

// core is a core that can be started several times.
type core struct {
	*process.Process // of the last start
	b                *bench
	dir, url         string
	data             string // directory of its store
	env              []string
	api              *client.Client
}

// newCore returns a core with a directory of its own. It does not run yet.
func (b *bench) newCore(name string, env ...string) (*core, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	c := &core{b: b, dir: filepath.Join(b.dir, name), url: "http://127.0.0.1:" + port}
	c.data = filepath.Join(c.dir, "store")
	c.env = append([]string{
		"HOME=" + c.dir, "RUEDO_LOG_LEVEL=error", "RUEDO_SERVER_PORT=" + port, "RUEDO_SERVER_DISTRIBUTED_EXECUTION=true",
		"RUEDO_STORE_DATA_DIR=" + c.data, "RUEDO_SERVER_MAX_RUNNERS=2048", "RUEDO_SERVER_MAX_LANES_PER_ADDRESS=2048",
	}, env...)
	c.api = client.New(c.url)
	return c, os.MkdirAll(c.dir, 0o700)
}

// start starts the core and waits until it describes a service; "" means until it
// answers at all. It returns how long that took.
func (c *core) start(service string) (took time.Duration, err error) {
	path := "/livez"
	if service != "" {
		path = "/call/" + service
	}
	began := time.Now()
	if c.Process, err = c.b.group.Start(c.b.bin, c.env, "server"); err != nil {
		return 0, err
	}
	err = c.b.until("a core is ready", func() (bool, error) {
		if c.Ended() {
			return false, c.Failure(fmt.Errorf("it has ended"))
		}
		return get(c.b.ctx, c.url+path)
	})
	took = time.Since(began)
	if err != nil {
		return 0, c.Failure(err)
	}
	return took, nil
}

// get reports whether a request is answered with 200.
func get(ctx context.Context, url string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode == http.StatusOK, err
}

// settled is how long after its start the memory of a core is looked at, and
// calm how long it is watched while nothing happens.
const (
	settled = 3 * time.Second
	calm    = 2 * time.Second
)

const mb = 1e6

// rest adds what the cores of all sizes have in memory and what they do while
// nothing happens. Memory is that of a core, the rest is the sum.
func (b *bench) rest(c *curve, cores map[int][]*core) error {
	if err := b.pause(settled); err != nil {
		return err
	}
	for _, size := range c.sizes {
		if err := memory(c, size, cores[size]); err != nil {
			return err
		}
	}
	before := map[int]usage{}
	for _, size := range c.sizes {
		u, err := used(cores[size])
		if err != nil {
			return err
		}
		before[size] = u
	}
	if err := b.pause(calm); err != nil {
		return err
	}
	for _, size := range c.sizes {
		u, err := used(cores[size])
		if err != nil {
			return err
		}
		c.add(size, idle, float64(u.bytes-before[size].bytes)/1000/calm.Seconds())
		c.add(size, idleCPU, ms(u.cpu-before[size].cpu)/calm.Seconds())
	}
	return nil
}

// memory adds what each of some cores has in memory.
func memory(c *curve, size int, cores []*core) error {
	var sum process.Memory
	for _, one := range cores {
		m, err := one.Memory()
		if err != nil {
			return err
		}
		sum.Resident, sum.Private, sum.Peak = sum.Resident+m.Resident, sum.Private+m.Private, sum.Peak+m.Peak
	}
	n := float64(len(cores)) * mb
	c.add(size, resident, float64(sum.Resident)/n)
	c.add(size, private, float64(sum.Private)/n)
	c.add(size, peak, float64(sum.Peak)/n)
	return nil
}

// usage is what processes have used.
type usage struct {
	bytes int64 // read and written
	cpu   time.Duration
}

func used(cores []*core) (u usage, err error) {
	for _, c := range cores {
		n, err := c.IO()
		if err != nil {
			return u, err
		}
		u.bytes += n
	}
	u.cpu, err = process.CPU(processes(cores))
	return u, err
}

func processes(cores []*core) []*process.Process {
	var all []*process.Process
	for _, c := range cores {
		all = append(all, c.Process)
	}
	return all
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// input is one that every service accepts.
const input = `{"name":"Ada"}`

// calls returns calls of n services of one of the cores, whose time counts.
func calls(cores []*core, at, n int) *load.Target {
	t := &load.Target{Name: fmt.Sprintf("%d services", n), URL: cores[at].url, Want: input, Processes: processes(cores[at : at+1])}
	for i := range n {
		t.Requests = append(t.Requests, load.Post("/call/"+serviceName(i), input))
	}
	return t
}

// publishes is how many publishes one measurement makes.
const publishes = 8

// publish publishes new revisions of a service through the first core, and adds
// how long it takes until the publisher has its answer, and until every core
// describes the new one.
func (b *bench) publish(cores []*core, add func(figure string, value float64)) error {
	module, _ := echo()
	before, err := process.CPU(processes(cores))
	if err != nil {
		return err
	}
	for range publishes {
		began := time.Now()
		res, err := cores[0].api.Services.PublishService(b.ctx, &ruedov1.PublishServiceRequest{
			Name: serviceName(0), Description: "Returns its input.", Tags: []string{"scale"}, Module: module.GetDigest(),
			Decorators: []string{decoratorName(0)}, Env: map[string]string{"PUBLISHED": began.Format(time.RFC3339Nano)},
		})
		if err != nil {
			return err
		}
		add(publish, ms(time.Since(began)))
		number := res.GetService().GetRevision().GetNumber()
		for _, c := range cores {
			if err := b.until("a publish is visible", func() (bool, error) {
				got, err := c.api.Services.GetService(b.ctx, &ruedov1.GetServiceRequest{Name: serviceName(0)})
				return got.GetService().GetRevision().GetNumber() == number, err
			}); err != nil {
				return err
			}
		}
		add(visible, ms(time.Since(began)))
	}
	after, err := process.CPU(processes(cores))
	add(publishCPU, ms(after-before)/publishes)
	return err
}

// publishFirst publishes a service with its decorator.
func (c *core) publishFirst(s *ruedov1.Service, d *ruedov1.Decorator) error {
	_, err := c.api.Services.PublishService(c.b.ctx, &ruedov1.PublishServiceRequest{
		Name: s.GetName(), Description: s.GetDescription(), Tags: s.GetTags(), Module: s.GetRevision().GetModule(),
		Decorators: s.GetRevision().GetDecorators(), Definitions: []*ruedov1.Decorator{d},
	})
	return err
}

// attach attaches simulated runners to cores that have services, and waits until
// they have prepared them all and the cores know.
func (b *bench) attach(cores []*core, runners, services int) (*process.Process, error) {
	var urls []string
	for _, c := range cores {
		urls = append(urls, c.url)
	}
	p, err := b.group.Self(runnersRole, fmt.Sprintf("%d %d %s", runners, services, strings.Join(urls, " ")))
	if err != nil {
		return nil, err
	}
	if _, err := p.Line(); err != nil {
		return nil, err
	}
	for _, c := range cores {
		if err := b.until("the core has a runner", func() (bool, error) { return get(b.ctx, c.url+"/readyz") }); err != nil {
			return nil, err
		}
	}
	return p, nil
}
