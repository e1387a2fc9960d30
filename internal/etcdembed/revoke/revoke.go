// Package revoke takes files away from code in this process that cannot be
// stopped.
package revoke
