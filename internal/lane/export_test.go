package lane

import "github.com/ruedo-dev/ruedo/internal/lane/protocol"

// Speak makes the core one of another version.
func (c *HubConfig) Speak(r protocol.Range) { c.speaks = r }

// Speak makes the runner one of another version.
func (c *ConnConfig) Speak(r protocol.Range) { c.speaks = r }
