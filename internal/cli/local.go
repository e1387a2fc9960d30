package cli

import (
	"errors"
	"github.com/ruedo-dev/ruedo/sdk/client"
)

func (a *app) openLocal() (*client.Client, error) { return nil, errors.New("not yet") }
