// Package deploying deploys a pipeline to AWS from what a release carries, without the CDK: it
// uploads the template and the functions' code, lets CloudFormation make a change set, shows it, asks,
// executes it, and follows what happens.
//
// CloudFormation and S3 are called through package signed: the SDK's clients of both would take some
// 13 MB of the command line. What decides has no AWS in it: decide (the status of a stack), refused
// (the changes of a change set) and line (an event).
//
// Nothing is begun that is left unnamed. Until the answer yes there are a bucket and the template in
// it, which the next deployment uses, and a change set, which is deleted; from then on AWS goes on by
// itself, whatever becomes of this program.
package deploying

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/infra/topology"
)

// A Plan is what a deployment puts into AWS.
type Plan struct {
	Template         File
	Parameters, Tags map[string]string
	BucketParameter  string // the parameter that gets the bucket's name
	Code             []File // of the functions
	Protected        bool   // the stack's termination protection
}

// A Deployment is one run of the verb.
type Deployment struct {
	Config   aws.Config // with the region
	Pipeline string
	Stack    string // its name
	Version  string // of what is deployed
	// Plan computes what is deployed. adopt: all queues exist outside of the stack, and are used.
	Plan func(adopt bool) (Plan, error)

	Queues      []string // the names of the pipeline's, in the order in which they are told
	AdoptQueues string   // the setting
	Parameters  []string // of SSM, that the functions read and without which they wait
	// Compare writes what differs from the settings that the stack was deployed with, nil if it keeps
	// none, and refuses what the deployment would take away without being able to express it.
	Compare func(w io.Writer, settings map[string]string) error

	Bucket           string   // of the user's own; empty: that of the account and region, which is made
	Yes              bool     // do not ask
	Interactive      bool     // In is a terminal, or something else that answers
	DryRun           bool     // show the change set and delete it
	AllowReplacement []string // names or logical IDs of resources that may be replaced or removed

	In  io.Reader
	Out io.Writer

	stacks *stacks
	bucket *bucket
	plan   Plan
}

// cleanup bounds what is done after an interrupt, so that nothing is left.
const cleanup = 30 * time.Second

// Run deploys. The errors say what is left, and what to do.
func (d *Deployment) Run(ctx context.Context) error {
	if !d.Yes && !d.DryRun && !d.Interactive {
		return errors.New("there is no terminal to ask on: give --yes to deploy without a question, or --dry-run to " +
			"see what would change")
	}
	account, partition, err := identity(ctx, d.Config)
	if err != nil {
		return err
	}
	d.stacks = newStacks(d.Config)
	s, err := d.stacks.describe(ctx, d.Stack)
	if err != nil {
		return err
	}
	todo, err := decide(s, d.Config.Region, d.Pipeline)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.Out, "Spillway %s: pipeline %s, account %s, region %s, stack %s\n", d.Version, d.Pipeline, account,
		d.Config.Region, d.Stack)
	if err := d.before(ctx, s, todo); err != nil {
		return err
	}
	if todo == renew {
		if d.DryRun {
			fmt.Fprintf(d.Out, "The first deployment of the stack %s failed, so that it has nothing. A deployment "+
				"deletes it, and makes all anew.\n", d.Stack)
			return nil
		}
		if err := d.renew(ctx, s); err != nil {
			return err
		}
	}
	d.bucket = openBucket(d.Config, d.Bucket, account, partition)
	if err := d.prepareBucket(ctx); err != nil {
		return err
	}
	c, err := d.propose(ctx, todo != update)
	if err != nil {
		return err
	}
	return d.apply(ctx, s, c)
}

// before says what there is to know before anything is made.
func (d *Deployment) before(ctx context.Context, s *stack, todo step) error {
	exists := todo == update
	if exists && byCDK(s) {
		fmt.Fprintf(d.Out, "The CDK has deployed this stack. This deployment changes it in place; `npx cdk deploy` "+
			"with the same settings takes it back.\n")
	}
	if exists {
		settings, err := settingsOf(s)
		if err == nil {
			err = d.Compare(d.Out, settings)
		}
		if err != nil {
			return err
		}
	}
	if !exists && s != nil && s.Status == "REVIEW_IN_PROGRESS" {
		names, err := d.stacks.changeSets(ctx, s.ID)
		if err != nil {
			return err
		}
		of := "no change set"
		if len(names) > 0 {
			of = "change set " + strings.Join(names, ", ")
		}
		fmt.Fprintf(d.Out, "The stack %s is left from a first deployment that was not answered, or somebody else "+
			"reviews one now (%s). It has nothing yet.\n", s.Name, of)
	}
	adopt, err := d.adopt(ctx, s, exists)
	if err != nil {
		return err
	}
	if d.plan, err = d.Plan(adopt); err != nil {
		return err
	}
	return d.tellMissingParameters(ctx)
}

// settingsOf are the settings that a stack was deployed with; nil: it keeps none.
func settingsOf(s *stack) (settings map[string]string, err error) {
	text := s.output(topology.OutputSettings)
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &settings); err != nil {
		return nil, fmt.Errorf("read the output %s of the stack %s: %w", topology.OutputSettings, s.Name, err)
	}
	return settings, nil
}

// renew deletes the stack of a first deployment that failed, which has no resources.
func (d *Deployment) renew(ctx context.Context, s *stack) error {
	fmt.Fprintf(d.Out, "The first deployment of the stack %s failed, so that it has nothing: deleting it first.\n", s.Name)
	if s.Protected {
		if err := d.stacks.protect(ctx, s.ID, false); err != nil {
			return err
		}
	}
	if err := d.stacks.deleteStack(ctx, s.ID); err != nil {
		return err
	}
	for {
		now, err := d.stacks.describe(ctx, s.ID)
		switch {
		case err != nil:
			return err
		case now == nil, now.Status == "DELETE_COMPLETE":
			return nil
		case now.Status == "DELETE_FAILED":
			_, err := decide(now, d.Config.Region, d.Pipeline)
			return err
		}
		if !wait(ctx, pollEvery) {
			return fmt.Errorf("%w: AWS goes on deleting the stack %s, whose first deployment had failed; run the command again",
				context.Cause(ctx), s.Name)
		}
	}
}

// prepareBucket makes the bucket ready, and puts the template into it.
func (d *Deployment) prepareBucket(ctx context.Context) error {
	made, err := d.bucket.prepare(ctx)
	if err != nil {
		return d.named(err)
	}
	if made {
		fmt.Fprintf(d.Out, "Made the private bucket %s, for the template and the functions' code.\n", d.bucket.name)
	}
	return d.put(ctx, d.plan.Template)
}

// put uploads a file, and says so.
func (d *Deployment) put(ctx context.Context, f File) error {
	size, sent, err := d.bucket.upload(ctx, f)
	if err != nil {
		return d.named(err)
	}
	if sent {
		fmt.Fprintf(d.Out, "Uploaded %s (%s KB).\n", d.bucket.uri(f.Key), terminal.Number((size+1023)>>10))
	}
	return nil
}

// named adds to an error that the bucket may be left.
func (d *Deployment) named(err error) error {
	if errors.Is(err, interrupt.Err) {
		return fmt.Errorf("%w: nothing is deployed. What is in the bucket %s stays there for the next deployment", err,
			d.bucket.name)
	}
	return err
}

// propose makes a change set and waits until CloudFormation has compared.
func (d *Deployment) propose(ctx context.Context, first bool) (*changeSet, error) {
	address, err := d.bucket.address(ctx, d.plan.Template.Key)
	if err != nil {
		return nil, err
	}
	name := "spillway-" + time.Now().UTC().Format("20060102-150405-") + strings.ToLower(rand.Text()[:8])
	// An interrupt does not end the call: otherwise nobody would know what there is to delete.
	c, err := d.stacks.create(context.WithoutCancel(ctx), &changeSet{Name: name, Stack: d.Stack, First: first}, address,
		d.plan, d.bucket.name)
	for err == nil {
		if err = d.stacks.read(ctx, c); err != nil || c.Status != "CREATE_PENDING" && c.Status != "CREATE_IN_PROGRESS" {
			break
		}
		if !wait(ctx, changeSetEvery) {
			err = context.Cause(ctx)
		}
	}
	if err != nil && ctx.Err() == nil {
		err = d.overtaken(ctx, err)
	}
	if err != nil && c != nil {
		return nil, errors.Join(err, d.discard(ctx, c))
	}
	return c, err
}

// overtaken is the error of a change set, or that another deployment of the stack was faster, if that
// is why.
func (d *Deployment) overtaken(ctx context.Context, err error) error {
	code, _ := codeOf(err)
	if code == "" || deployed.Denied(err) {
		return err
	}
	s, failed := d.stacks.describe(ctx, d.Stack)
	switch {
	case failed == nil && s != nil && strings.HasSuffix(s.Status, "_IN_PROGRESS") && s.Status != "REVIEW_IN_PROGRESS":
		return &busyError{s.Name, s.Status, d.Pipeline, d.Config.Region}
	case missing(err), code == "InvalidChangeSetStatus":
		return fmt.Errorf("nothing is changed by this deployment: another one of the stack %s was faster (%w). Watch "+
			"it, and run the command again: %s", d.Stack, err, watchCommand(d.Pipeline, d.Config.Region))
	}
	return err
}

// unchanged reports whether a change set failed because there is nothing to change, for which
// CloudFormation has no code.
func (c *changeSet) unchanged() bool {
	return c.Status == "FAILED" && (strings.Contains(c.Reason, "didn't contain changes") ||
		strings.Contains(c.Reason, "No updates are to be performed"))
}

// apply shows the change set, asks, executes it and follows what happens.
func (d *Deployment) apply(ctx context.Context, s *stack, c *changeSet) error {
	switch {
	case c.unchanged():
		return d.nothingToChange(ctx, s, c)
	case c.Status != "CREATE_COMPLETE":
		return errors.Join(fmt.Errorf("CloudFormation can't make a change set of the stack %s (%s): %s", d.Stack, c.Status,
			terminal.OneLine(c.Reason)), d.discard(ctx, c))
	}
	fmt.Fprintf(d.Out, "\nChanges of the stack %s (change set %s):\n", d.Stack, c.Name)
	show(d.Out, c.Changes)
	if err := d.judge(c); err != nil {
		return errors.Join(err, d.discard(ctx, c))
	}
	if d.DryRun {
		if err := d.discard(ctx, c); err != nil {
			return err
		}
		fmt.Fprintln(d.Out, "Nothing was changed: the change set is deleted.")
		return nil
	}
	yes, err := d.confirm(ctx)
	if err != nil || !yes {
		if err = errors.Join(d.named(err), d.discard(ctx, c)); err == nil {
			fmt.Fprintf(d.Out, "Nothing was changed: the change set is deleted. The template stays in the bucket %s.\n",
				d.bucket.name)
		}
		return err
	}
	w := d.watcher(c.Stack)
	if err := w.skip(ctx); err != nil {
		return errors.Join(err, d.discard(ctx, c))
	}
	if err := d.begin(ctx, s, c); err != nil {
		return err
	}
	return d.finish(ctx, w)
}

// judge refuses what would take away what holds something.
func (d *Deployment) judge(c *changeSet) error {
	if names := unused(c.Changes, d.AllowReplacement); len(names) > 0 {
		return fmt.Errorf("refused, nothing is changed: --allow-replacement must name a queue, bucket or table that "+
			"the change set changes, has %s", strings.Join(names, ", "))
	}
	if lines := refused(c.Changes, d.AllowReplacement); len(lines) > 0 {
		return fmt.Errorf("refused, nothing is changed:\n  %s\nDeploy the version that the stack's output %s names, "+
			"with its settings; or this one beside it with another --name, let senders change over, and delete the old "+
			"stack when its queues are empty", strings.Join(lines, "\n  "), topology.OutputVersion)
	}
	return nil
}

// nothingToChange ends a deployment of what is deployed already.
func (d *Deployment) nothingToChange(ctx context.Context, s *stack, c *changeSet) error {
	if err := d.discard(ctx, c); err != nil {
		return err
	}
	fmt.Fprintf(d.Out, "Nothing to change: the stack %s is as this deployment would make it.\n", d.Stack)
	if s == nil {
		return nil
	}
	if s.Protected != d.plan.Protected && !d.DryRun { // it is not part of a template
		if err := d.stacks.protect(ctx, s.ID, d.plan.Protected); err != nil {
			return err
		}
		fmt.Fprintf(d.Out, "Its termination protection is now %s.\n", onOff(d.plan.Protected))
	}
	printOutputs(d.Out, s)
	return nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// begin uploads the code and executes the change set.
func (d *Deployment) begin(ctx context.Context, s *stack, c *changeSet) error {
	for _, f := range d.plan.Code {
		if err := d.put(ctx, f); err != nil {
			return errors.Join(err, d.discard(ctx, c))
		}
	}
	if protected := s != nil && s.ID == c.Stack && s.Protected; protected != d.plan.Protected {
		if err := d.stacks.protect(ctx, c.Stack, d.plan.Protected); err != nil {
			if ctx.Err() != nil { // whether AWS has done it is not known
				err = errors.Join(err, d.protectAsBefore(ctx, s, c))
			}
			return errors.Join(err, d.discard(ctx, c))
		}
	}
	if ctx.Err() != nil { // the last moment at which nothing has begun
		return errors.Join(d.named(context.Cause(ctx)), d.protectAsBefore(ctx, s, c), d.discard(ctx, c))
	}
	// An interrupt does not end the call: otherwise nobody would know whether CloudFormation has begun.
	err := d.stacks.execute(context.WithoutCancel(ctx), c)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	if d.stacks.read(ctx, c) == nil && strings.HasPrefix(c.Execution, "EXECUTE_") {
		return d.goesOn(err)
	}
	return errors.Join(d.overtaken(ctx, err), d.protectAsBefore(ctx, s, c), d.discard(ctx, c))
}

// protectAsBefore gives a stack that exists the termination protection again that it had before a
// deployment which has not begun. That of a first deployment is deleted.
func (d *Deployment) protectAsBefore(ctx context.Context, s *stack, c *changeSet) error {
	if c.First || s.Protected == d.plan.Protected {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	if err := d.stacks.protect(ctx, s.ID, s.Protected); err != nil {
		return fmt.Errorf("the termination protection of the stack %s is left %s, and was %s: %w", s.Name,
			onOff(d.plan.Protected), onOff(s.Protected), err)
	}
	return nil
}

// goesOn says of an error that AWS does not stop.
func (d *Deployment) goesOn(err error) error {
	return fmt.Errorf("%w: AWS goes on with the deployment of the stack %s. To watch it: %s. To stop an update and undo "+
		"it: aws cloudformation cancel-update-stack --region %s --stack-name %[2]s", err, d.Stack,
		watchCommand(d.Pipeline, d.Config.Region), d.Config.Region)
}

// finish follows the deployment to its end.
func (d *Deployment) finish(ctx context.Context, w *watcher) error {
	if err := w.run(ctx); err != nil {
		return d.goesOn(err)
	}
	return w.result(d.Config.Region)
}

// confirm asks if the changes shall be made.
func (d *Deployment) confirm(ctx context.Context) (bool, error) {
	if d.Yes {
		return true, nil
	}
	fmt.Fprint(d.Out, "Deploy this? Type yes to confirm: ")
	type answer struct {
		yes bool
		err error
	}
	read := make(chan answer, 1)
	go func() { // which a Ctrl-C does not end: the process ends before it
		yes, err := terminal.ReadYes(d.In)
		read <- answer{yes, err}
	}()
	select {
	case a := <-read:
		return a.yes, a.err
	case <-ctx.Done():
		fmt.Fprintln(d.Out)
		return false, context.Cause(ctx)
	}
}

// discard deletes a change set, and the stack that was made for it if no other change set waits
// there. It is done even after an interrupt. The error names what is left.
func (d *Deployment) discard(ctx context.Context, c *changeSet) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	if err := d.stacks.deleteChangeSet(ctx, c); err != nil {
		return fmt.Errorf("the change set is left: %w. It changes nothing by itself; delete it: aws cloudformation "+
			"delete-change-set --region %s --stack-name %s --change-set-name %s", err, d.Config.Region, d.Stack, c.Name)
	}
	if !c.First {
		return nil
	}
	left := func(err error) error {
		return fmt.Errorf("the empty stack %s is left: %w. The next deployment uses it; or delete it: aws "+
			"cloudformation delete-stack --region %s --stack-name %[1]s", d.Stack, err, d.Config.Region)
	}
	s, err := d.stacks.describe(ctx, c.Stack)
	switch {
	case err != nil:
		return left(err)
	case s == nil, s.Status != "REVIEW_IN_PROGRESS":
		return nil // somebody else has executed a change set of their own, or has deleted it
	}
	others, err := d.stacks.changeSets(ctx, c.Stack)
	if err != nil {
		return left(err)
	}
	if others = slices.DeleteFunc(others, func(name string) bool { return name == c.Name }); len(others) > 0 {
		fmt.Fprintf(d.Out, "The empty stack %s is left, because it has the change set %s of another deployment.\n",
			d.Stack, strings.Join(others, ", "))
		return nil
	}
	if s.Protected {
		err = d.stacks.protect(ctx, c.Stack, false)
	}
	if err == nil {
		err = d.stacks.deleteStack(ctx, c.Stack)
	}
	if err != nil {
		return left(err)
	}
	return nil
}

// printOutputs writes what a user needs next.
func printOutputs(w io.Writer, s *stack) {
	outputs := slices.Clone(s.Outputs)
	slices.SortFunc(outputs, func(a, b output) int { return strings.Compare(a.OutputKey, b.OutputKey) })
	fmt.Fprintln(w, "\nOutputs:")
	for _, o := range outputs {
		if o.OutputKey == topology.OutputSettings {
			continue // long, and for programs
		}
		fmt.Fprintf(w, "  %-20s %s\n", o.OutputKey, terminal.OneLine(o.OutputValue))
	}
}
