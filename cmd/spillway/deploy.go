package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/cmd/spillway/deploying"
	"github.com/spillwayhq/spillway/cmd/spillway/terminal"
	"github.com/spillwayhq/spillway/cmd/spillway/usage"
	"github.com/spillwayhq/spillway/infra/bundle"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/version"
)

type deployFlags struct {
	name, settings, bundle, bucket string
	set, allow                     []string
	yes, dryRun, watch             bool
}

func newDeploy() *cobra.Command {
	var f deployFlags
	c := &cobra.Command{
		Use:   "deploy",
		Short: "Deploy a pipeline to AWS from a release, or change it",
		Long: usage.Help("Deploys a pipeline to AWS, in the region and with the credentials of the AWS tools, without "+
			"Go, Node.js or the CDK. It needs the release's bundle, spillway_VERSION_aws.zip.",
			"It uploads the template to a private bucket of the region, which it makes, and lets CloudFormation "+
				"compare. It shows each resource that would be added, changed, replaced or removed, and asks; then it "+
				"uploads the functions' code, follows the deployment, and prints the outputs. If a deployment fails, CloudFormation undoes it.",
			"Give the same settings every time: one that is left out has its default again, and what is deployed with "+
				"other settings is said before the question. Settings that a release can't express are refused; those need the CDK."),
		Example: "  spillway deploy --set emails=you@example.com\n" +
			"  spillway deploy --name staging --settings staging.json --dry-run",
		SuggestFor: []string{"install", "upgrade"},
		Args:       usage.NoArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c)
		},
	}
	set := c.Flags()
	set.StringVar(&f.name, "name", "", "`name` of the pipeline; without it that of the settings, or "+
		topology.DefaultNames().Pipeline)
	set.StringArrayVar(&f.set, "set", nil, "a `setting` as NAME=VALUE; can be given more than once")
	set.StringVar(&f.settings, "settings", "", "JSON `file` with settings; --set overrides it")
	set.StringVar(&f.bundle, "bundle", "", "the release's `file` spillway_VERSION_aws.zip; without it, it is looked "+
		"for beside this program, in the working directory and in /usr/share/spillway")
	set.StringVar(&f.bucket, "bucket", "", "`name` of a bucket of yours in the region for the template and the "+
		"code, in place of spillway-deploy-ACCOUNT-REGION")
	set.BoolVar(&f.yes, "yes", false, "do not ask")
	set.BoolVar(&f.dryRun, "dry-run", false, "show the changes, and change nothing")
	set.StringSliceVar(&f.allow, "allow-replacement", nil,
		"`name` of a queue, bucket or table that may be replaced or removed; can be given more than once")
	set.BoolVar(&f.watch, "watch", false, "only show the deployment that is under way, until it has ended")
	return c
}

func (f *deployFlags) run(c *cobra.Command) error {
	if f.bucket != "" && !s3.IsBucketName(f.bucket) {
		return fmt.Errorf("--bucket must be a bucket's name, 3 to 63 lower-case letters, digits, hyphens and dots, is %q",
			f.bucket)
	}
	config, noConfig := deployed.Config(c.Context())
	// What is wrong with the settings is said first, for which AWS is not needed.
	s, given, err := deploying.ReadSettings(cmp.Or(config.Region, "us-east-1"), f.name, f.settings, f.set)
	if err != nil {
		return err
	}
	d := &deploying.Deployment{Pipeline: s.Name, Bucket: f.bucket, Yes: f.yes, DryRun: f.dryRun,
		AllowReplacement: f.allow, In: c.InOrStdin(), Interactive: terminal.Is(c.InOrStdin()), Out: c.OutOrStdout()}
	names := s.Topology().Names
	config.Region = s.Regions[0] // the configured one, unless the settings say another
	if f.watch {
		if noConfig != nil {
			return noConfig
		}
		d.Config, d.Stack = config, names.Stack(config.Region)
		return d.Watch(c.Context())
	}
	if err := bundle.Expressible(&s); err != nil {
		return fmt.Errorf("a release can't express these settings, nothing is changed:\n  %s",
			strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	b, err := f.open()
	if err != nil {
		return err
	}
	defer b.Close()
	if _, err := b.Plan(&s, false); err != nil { // a bundle that is damaged, too, before anything is made
		return err
	}
	if noConfig != nil {
		return noConfig
	}
	d.Config, d.Stack, d.Version = config, names.Stack(config.Region), b.Version()
	d.Plan = func(adopt bool) (deploying.Plan, error) { return planOf(b, &s, adopt) }
	d.Queues, d.AdoptQueues = names.Queues(), s.AdoptQueues
	d.Parameters = s.WriteKeysParameters
	if s.WriteKeyParameter != "" {
		d.Parameters = append([]string{s.WriteKeyParameter}, d.Parameters...)
	}
	d.Compare = deploying.Compare(d.Stack, &s, given, bundle.Expressible)
	return d.Run(c.Context())
}

// open opens the bundle, and checks that it is this program's.
func (f *deployFlags) open() (*bundle.Bundle, error) {
	path := f.bundle
	if path == "" {
		var err error
		if path, err = deploying.FindBundle(version.String(), deploying.Places()); err != nil {
			return nil, err
		}
	}
	b, err := bundle.Open(path)
	if err != nil {
		return nil, err
	}
	if err := deploying.Fits(version.String(), b.Version()); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// planOf is what a bundle deploys with these settings.
func planOf(b *bundle.Bundle, s *settings.Settings, adopt bool) (deploying.Plan, error) {
	p, err := b.Plan(s, adopt)
	if err != nil {
		return deploying.Plan{}, err
	}
	plan := deploying.Plan{Template: deploying.Content(p.TemplateKey, p.Template), Parameters: p.Parameters, Tags: p.Tags,
		BucketParameter: bundle.BucketParameter, Protected: p.TerminationProtection}
	for _, file := range p.Files {
		plan.Code = append(plan.Code, deploying.File{Key: file.Key, SHA256: file.SHA256,
			Open: file.Open})
	}
	return plan, nil
}
