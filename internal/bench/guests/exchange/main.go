// The handler of the benchmarks of exchanges as a service.
package main

import (
	"github.com/ruedo-dev/ruedo/internal/bench/guests/site"
	"github.com/ruedo-dev/ruedo/sdk/web"
)

func init() { web.Serve(site.Handler()) }

func main() { web.Main() }
