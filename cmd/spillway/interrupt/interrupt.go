// Package interrupt turns Ctrl-C into the end of a context, so that a verb can finish the calls
// under way and report what is left.
package interrupt

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// Err is the cause of a context that Ctrl-C ended.
var Err = errors.New("interrupted")

// exitCode is the shell's code for a process that SIGINT ended.
const exitCode = 130

// Context returns a context that the first Ctrl-C or SIGTERM ends. The second one ends the process
// immediately. The returned function releases the signals.
func Context() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		cancel(Err)
		if _, ok := <-signals; ok {
			os.Exit(exitCode)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
	}
}
