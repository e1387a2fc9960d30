package client_test

import (
	"context"
	"fmt"

	ruedov1 "github.com/ruedo-dev/ruedo/gen/ruedo/v1"
	"github.com/ruedo-dev/ruedo/internal/ruedotest"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

// An app calls a service; here it publishes the service first.
func Example() {
	ruedotest.Example(func(cluster *ruedotest.Cluster) {
		ctx := context.Background()
		c := client.New(cluster.URL) // such as "http://127.0.0.1:7833"

		digest, err := c.Upload(ctx, ruedotest.Echo(), nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		if _, err := c.Services.PublishService(ctx, &ruedov1.PublishServiceRequest{Name: "echo", Module: digest}); err != nil {
			fmt.Println(err)
			return
		}
		res, err := c.Call(ctx, "echo", []byte(`{"name":"Ada"}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %s, revision %d\n", res.Output, res.ContentType, res.Info.GetRevision())
	})
	// Output:
	// {"name":"Ada"} application/json, revision 1
}

// Every error has a stable reason, and usually says what to do.
func ExampleExplain() {
	ruedotest.Example(func(cluster *ruedotest.Cluster) {
		_, err := client.New(cluster.URL).Call(context.Background(), "ecko", nil)
		p := client.Explain(err)
		fmt.Println(p.Reason, p.Code, p.NotStarted)
		fmt.Println(p.Message)
		fmt.Println(p.Fix)
	})
	// Output:
	// SERVICE_NOT_FOUND not_found false
	// there is no service "ecko"
	// list the services
}
