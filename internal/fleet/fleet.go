// Package fleet is what all processes that use the store have in common: a
// connection, the check of the storage format, and membership by leases.
//
// Begin with [Open]. A process registers itself to be visible to the others:
//
//	c, err := fleet.Open(fleet.Config{Hosts: hosts, Cluster: "main"})
//	m, err := c.RegisterCore(ctx, core, fleet.DefaultTTL)
//	defer m.Close(ctx)
//
// A runner with store settings finds the cores and registers itself through a
// [Directory]; see [Dial].
//
// # Membership
//
// The entries of a process have a lease that it renews. One disappears immediately
// when the holder closes its membership, and within the lease's TTL when the
// holder dies. While the holder lives, the entry comes back: after the
// store was away, after the lease expired, and after somebody removed it. Two
// holders can have the same key; the entry stays as long as one of them
// lives.
//
// # Leadership
//
// At most one process leads the cluster: [Cluster.Campaign] puts a key under a
// lease, if there is none. Its [Leadership] has a context that ends with it, and
// a [Fence], without which no write of a leader is made: a process that was
// stopped or cut off may believe for a while that it still leads.
//
// # Errors
//
// [TranslateError] is the one place where etcd's errors are translated. If the caller's
// own context was cancelled or expired, its error is returned as it is.
package fleet
