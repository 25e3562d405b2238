// Package live shows the status of a running pipeline while it changes: on a terminal as a block of
// lines that is redrawn, in a log as a line from time to time.
package live

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/local"
)

const (
	drawEvery = 500 * time.Millisecond
	lineEvery = 10 * time.Second
)

// Watch shows the status until ctx ends, and a line for each change of an alarm. When stopping is
// closed, it says that the pipeline is stopping.
func Watch(ctx context.Context, stopping <-chan struct{}, out io.Writer, status func() local.Status,
	alarms <-chan local.AlarmChange) {
	onTerminal := terminal.Is(out)
	every := lineEvery
	if onTerminal {
		every = drawEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var v view
	for {
		if onTerminal {
			fmt.Fprint(out, v.draw(status(), terminal.Columns(out)))
		}
		select {
		case <-ctx.Done():
			if !onTerminal {
				fmt.Fprintln(out, v.line(status()))
			}
			return
		case <-stopping:
			stopping = nil
			fmt.Fprintln(out, "Stopping: deliveries in progress are finished first, which takes up to a minute if Segment "+
				"does not answer. Press Ctrl-C again to stop immediately.")
			v.lines = 0
		case c := <-alarms:
			fmt.Fprint(out, v.erase(), alarmLine(c), "\n")
		case <-ticker.C:
			if !onTerminal {
				fmt.Fprintln(out, v.line(status()))
			}
		}
	}
}
