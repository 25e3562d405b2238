// Command worker is the worker of the peer Benthos.
package main

import (
	"github.com/spillwayhq/spillway/integration/peers/machine"
	"github.com/spillwayhq/spillway/integration/peers/streams/benthos"
)

func main() { machine.MainWorker(benthos.Run) }
