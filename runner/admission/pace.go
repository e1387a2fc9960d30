package admission

import "time"

// pace is how long the calls of a service execute: the recent mean, and how far
// from it calls are on average. The zero pace is not known yet.
type pace struct{ mean, spread time.Duration }

// add counts a call. Zero means that its time is not known. An eighth and a
// quarter are the weights that TCP gives to a new round-trip time.
func (p *pace) add(took time.Duration) {
	switch {
	case took <= 0:
	case p.mean == 0:
		p.mean, p.spread = took, took/2
	default:
		away := took - p.mean
		p.mean += away / 8
		p.spread += (max(away, -away) - p.spread) / 4
	}
}

// enough returns the time in which most calls end.
func (p *pace) enough() time.Duration { return p.mean + p.spread }
