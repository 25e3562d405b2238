package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/regions"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/topology"
)

type regionFlags struct{ pipeline deployed.Name }

func newRegion() *cobra.Command {
	var f regionFlags
	c := &cobra.Command{
		Use:   "region",
		Short: "Show the regions of a pipeline on AWS, and take one out of the common name",
		Long: usage.Help("Works on a pipeline on AWS whose regions share a name, with the credentials of the AWS tools. "+
			"Without --name it is the pipeline "+topology.DefaultNames().Pipeline+". Its regions are those of its stack in the "+
			"region of the AWS tools: if that is down, set AWS_REGION to another one.",
			"Route 53 leaves a region out that fails, and one that you drain. Events that the region has are delivered."),
		SuggestFor: []string{"regions", "drain", "restore"},
		Args:       usage.Subcommand,
		RunE:       func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f.pipeline.Register(c.PersistentFlags())
	c.AddCommand(newRegionLs(&f), newRegionDrain(&f), newRegionRestore(&f))
	return c
}

// open finds the pipeline.
func (f *regionFlags) open(ctx context.Context) (*regions.Pipeline, error) {
	names := topology.DefaultNames()
	if f.pipeline.Given() {
		var err error
		if names, err = f.pipeline.Names(); err != nil {
			return nil, err
		}
	}
	config, err := deployed.Config(ctx)
	if err != nil {
		return nil, err
	}
	return &regions.Pipeline{Names: names, Cloud: &regions.AWS{Config: config, Names: names}}, nil
}

// oneRegion is for a verb that takes a region.
func oneRegion(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes one region, like eu-west-1, got %d: `spillway region ls` lists them", c.CommandPath(),
			len(args))
	}
	return nil
}

func newRegionLs(f *regionFlags) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the regions, and say which take traffic",
		Long: usage.Help("Lists the regions, and says of each if Route 53 answers with it, and why not; what Route 53's " +
			"health check says; whether ingest and delivery are down; and how old the oldest undelivered event is. What a " +
			"region does not answer is said below the table."),
		Args: usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.ls(c.Context(), c.OutOrStdout(), asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func (f *regionFlags) ls(ctx context.Context, out io.Writer, asJSON bool) error {
	p, err := f.open(ctx)
	if err != nil {
		return err
	}
	all, err := p.Read(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return terminal.WriteJSON(out, struct {
			Pipeline string           `json:"pipeline"`
			Regions  []regions.Region `json:"regions"`
		}{p.Names.Pipeline, all})
	}
	return regions.Print(out, all)
}

func newRegionRestore(f *regionFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "restore REGION",
		Short: "Take a drained region back",
		Long: usage.Help("Ends that a region is drained. Clients come back within about four minutes, if the region's " +
			"own canary is accepted."),
		Args: oneRegion,
		RunE: func(c *cobra.Command, args []string) error {
			return f.restore(c.Context(), c.OutOrStdout(), args[0])
		},
	}
}

func (f *regionFlags) restore(ctx context.Context, out io.Writer, region string) error {
	p, err := f.open(ctx)
	if err != nil {
		return err
	}
	was, firing, err := p.Restore(ctx, region)
	if err != nil {
		return err
	}
	text := region + " is restored"
	if was.IsSet() {
		text += "; it was drained " + was.String()
	}
	fmt.Fprintln(out, terminal.OneLine(text))
	if len(firing) > 0 {
		fmt.Fprintf(out, "Route 53 leaves it out as long as this fires too: %s. `spillway region ls` shows it.\n",
			strings.Join(firing, ", "))
		return nil
	}
	fmt.Fprintln(out, "Its canary's function tells Route 53 within about three minutes, and clients come back within "+
		"another.")
	return nil
}

type regionDrain struct {
	*regionFlags
	reason string
	yes    bool
}

func newRegionDrain(f *regionFlags) *cobra.Command {
	d := regionDrain{regionFlags: f}
	c := &cobra.Command{
		Use:   "drain REGION",
		Short: "Lead traffic away from a region",
		Long: usage.Help("Leads new clients to the other regions, until you restore it. The region works on: it takes what "+
			"clients still send, and delivers what it has.",
			"It asks if no other region takes traffic, because Route 53 then answers with all regions."),
		Example: "  spillway region drain eu-west-1 --reason 'AWS maintenance' --name spillway",
		Args:    oneRegion,
		RunE: func(c *cobra.Command, args []string) error {
			return d.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), args[0])
		},
	}
	c.Flags().StringVar(&d.reason, "reason", "", "`why`, for those who see it drained")
	c.Flags().BoolVar(&d.yes, "yes", false, "do not ask, even if no other region takes traffic")
	return c
}

func (d *regionDrain) run(ctx context.Context, in io.Reader, out io.Writer, region string) error {
	p, err := d.open(ctx)
	if err != nil {
		return err
	}
	drain, err := p.PrepareDrain(ctx, region)
	if err != nil {
		return err
	}
	if confirmed, err := d.confirm(in, out, drain); err != nil || !confirmed {
		return err
	}
	m, err := drain.Run(ctx, time.Now(), d.reason)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, terminal.OneLine(region+" is drained "+m.String()))
	if !drain.HasHealthCheck() {
		fmt.Fprintf(out, "No health check of Route 53 reads its alarm %s: the deployment has no domain of several regions. "+
			"Lead traffic away in your own DNS.\n", p.Names.Alarm("drained"))
		return nil
	}
	if drain.Unheard() {
		fmt.Fprintf(out, "Its alarm %s has no data: Route 53 does not hear of it until the canary's function runs. See "+
			"`spillway logs --name %s canary`.\n", p.Names.Alarm("drained"), p.Names.Pipeline)
		return nil
	}
	fmt.Fprintln(out, "Its canary's function tells Route 53 within a minute or two, and clients leave within another. "+
		"What it has is delivered. `spillway region ls` shows it.")
	return nil
}

// confirm asks if nothing is left.
func (d *regionDrain) confirm(in io.Reader, out io.Writer, drain *regions.Drain) (bool, error) {
	last := drain.Last()
	if last == "" || d.yes {
		return true, nil
	}
	const then = "With no region left, Route 53 answers with all of them, the failed ones too."
	if !terminal.Is(in) {
		return false, errors.New(last + ". " + then + " Give --yes to drain it all the same")
	}
	fmt.Fprintf(out, "%s. %s\nDrain it all the same? Type yes to confirm: ", terminal.OneLine(last), then)
	yes, err := terminal.ReadYes(in)
	if err == nil && !yes {
		fmt.Fprintln(out, "Nothing was changed.")
	}
	return yes, err
}
