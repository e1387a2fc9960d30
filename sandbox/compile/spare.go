package compile

import (
	"os"
	"time"

	"github.com/ruedo-dev/ruedo/sandbox/compile/confine"
)

// spareTime is how long a child waits for an order: it holds some memory.
const spareTime = 5 * time.Minute

// Ready starts a child ahead of its order, unless one waits already: the next
// module need not wait for a start. A child that gets no order within five
// minutes ends.
func (c *Compiler) Ready() {
	if len(c.cfg.Command) == 0 || !confine.Supported {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.spare != nil {
		return
	}
	// Whoever compiles meets the same disk, and says what is wrong with it.
	dir := c.sealed.Fresh("spare-")
	if os.Mkdir(dir, 0o700) != nil {
		return
	}
	p, err := c.start(dir)
	if err != nil {
		_ = os.Remove(dir)
		return
	}
	c.spare = p
	c.wg.Go(func() {
		over := time.NewTimer(spareTime)
		defer over.Stop()
		select {
		case <-p.ended:
		case <-over.C:
		case <-c.ctx.Done():
		}
		c.mu.Lock()
		waits := c.spare == p
		if waits {
			c.spare = nil
		}
		c.mu.Unlock()
		if waits {
			p.kill()
		}
		<-p.ended
		_ = os.RemoveAll(dir) // Close removes what is left
	})
}

// takeSpare returns the child that waits for an order, nil if there is none.
func (c *Compiler) takeSpare() *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.spare
	c.spare = nil
	if p != nil {
		select {
		case <-p.ended: // by the hand of another
			return nil
		default:
		}
	}
	return p
}
