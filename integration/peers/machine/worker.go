package machine

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spillwayhq/spillway/integration/peers/peer"
)

// ParseWorking reads the flags of a worker's process.
func ParseWorking(args []string) (w peer.Working, err error) {
	f := flag.NewFlagSet("worker", flag.ContinueOnError)
	f.StringVar(&w.QueueURL, "queue", "", "URL of the SQS queue")
	f.StringVar(&w.Redis, "redis", "", "host:port of Redis")
	f.StringVar(&w.Segment, "segment", "", "URL of the Segment emulator")
	return w, f.Parse(args)
}

// WorkingArgs are the flags that ParseWorking reads.
func WorkingArgs(w peer.Working) []string {
	return []string{"--queue=" + w.QueueURL, "--redis=" + w.Redis, "--segment=" + w.Segment}
}

// MainWorker is the main of a program that is a peer's worker: see peer.Peer.Program.
func MainWorker(worker func(ctx context.Context, w peer.Working) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	w, err := ParseWorking(os.Args[1:])
	if err == nil {
		err = worker(UntilParentEnds(ctx), w)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}
