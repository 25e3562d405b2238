package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/queues"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/local"
)

// A consolePort is the port of an operator's page. The page is for this machine only.
type consolePort struct {
	port uint16
	any  bool // take another one if it is in use
}

const defaultConsolePort = 9326

func (p *consolePort) register(c *cobra.Command) {
	c.Flags().Uint16Var(&p.port, "console-port", defaultConsolePort,
		"`port` of the operator's page; 0 takes a free one, as it is without this flag if the default is in use")
}

// chosen reads whether the flag was given: who names a port wants no other.
func (p *consolePort) chosen(c *cobra.Command) { p.any = !c.Flags().Changed("console-port") }

// address is where the page is served, with the address of the other ports. It is a loopback
// address: the page shows events and changes what is delivered, without credentials.
func (p *consolePort) address(listen string) string {
	if listen == "" || local.Exposed(listen) != "" {
		listen = "127.0.0.1"
	}
	return address(listen, p.port)
}

// warn says that the page is at another port than one looks for it.
func (p *consolePort) warn(out io.Writer, pageURL string) {
	if u, err := url.Parse(pageURL); err == nil && p.any && pageURL != "" && u.Port() != fmt.Sprint(p.port) {
		fmt.Fprintf(out, "Warning: port %d is in use, so the operator's page is at %s.\n\n", p.port, pageURL)
	}
}

type consoleFlags struct{ queueURL string }

func newConsole() *cobra.Command {
	var f consoleFlags
	c := &cobra.Command{
		Use:   "console",
		Short: "Show where the operator's page of a pipeline is",
		Long: usage.Help("Prints the address of the operator's page of a running `spillway up`, which serves it "+
			"itself: what "+
			"comes in, what waits, what is retried and why, alarms, dead letters, and switches that make the Segment emulator "+
			"fail. Open it in a browser.",
			"The page can be opened on the machine of `spillway up` only."),
		Example: "  spillway console",
		Args:    usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.local(c.Context(), c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&f.queueURL, "queue-url", queues.DefaultURL, "`URL` of the local pipeline's events queue")
	return c
}

// local asks a running pipeline for the address of its page.
func (f *consoleFlags) local(ctx context.Context, out io.Writer) error {
	endpoint, err := queues.Endpoint(f.queueURL)
	if err != nil {
		return err
	}
	if strings.HasSuffix(endpoint.Hostname(), ".amazonaws.com") {
		return errors.New("--queue-url must be of a running `spillway up`")
	}
	endpoint.Path = local.StatusPath
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.String(), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return queues.Explain(err, f.queueURL)
	}
	defer response.Body.Close()
	var status local.Status
	if err = json.NewDecoder(response.Body).Decode(&status); response.StatusCode != http.StatusOK {
		err = fmt.Errorf("it answers %s", response.Status)
	}
	switch {
	case err != nil:
		return fmt.Errorf("read the status at %s: %w: is it a `spillway up` of this version?", endpoint, err)
	case status.ConsoleURL == "":
		return errors.New("the running `spillway up` serves no operator's page: start it without --console=false")
	}
	fmt.Fprintln(out, status.ConsoleURL)
	return nil
}
