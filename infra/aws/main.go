// Command aws is the CDK app that deploys the pipeline of infra/topology to AWS: queues, functions,
// ingest endpoint, alarms and dashboard, one stack for each region. `npx cdk` runs it (see cdk.json
// at the top); README.md and docs/deploy.md say how to deploy, change and delete it. It only
// wires: each resource has a file, and infra/settings has what a deployment may choose.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/regioninfo"
	"github.com/aws/jsii-runtime-go"

	"github.com/spillwayhq/spillway/infra/functions"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/shared/version"
)

// fromCLI are keys that the CDK's command line adds to the user's context.
var fromCLI = []string{"cli-telemetry"}

func main() {
	err := run(context.Background())
	if err != nil { // before Close, which may write half a line
		fmt.Fprintln(os.Stderr, err)
	}
	jsii.Close()
	if err != nil {
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	app := awscdk.NewApp(&awscdk.AppProps{AnalyticsReporting: jsii.Bool(false), TreeMetadata: jsii.Bool(false)})
	values, _ := app.Node().GetAllContext(nil).(map[string]any)
	region := os.Getenv("CDK_DEFAULT_REGION")
	if region == "" {
		region = "us-east-1"
	}
	s, err := settings.Read(region, values, fromCLI, os.ReadFile)
	if err := errors.Join(err, validate(&s, knownRegions())); err != nil {
		return err
	}
	// To stderr: when the command line prints the template, it is on stdout.
	fmt.Fprintln(os.Stderr, "Spillway's settings:")
	s.Print(os.Stderr)
	t, env := s.Topology(), environment{account: os.Getenv("CDK_DEFAULT_ACCOUNT"), version: describe(ctx, ".")}
	asked, askedZone := make(chan map[string]deployed, 1), make(chan zone, 1) // while the functions are built
	go func() { asked <- ask(ctx, env.account, t.Names, s.Regions) }()
	go func() { askedZone <- askDomain(ctx, env.account, &s, net.DefaultResolver.LookupNS) }()
	built, beside := functionsOf(&s)
	if env.assets, err = functions.Build(built, beside, ".", filepath.Join("dist", "aws"), s.Architecture); err != nil {
		return err
	}
	env.deployed = <-asked
	zone := <-askedZone
	if err := zone.check(&s, env.deployed); err != nil {
		return err
	}
	env.zoneID = zone.id(&s)
	for _, note := range zone.tell(&s) {
		fmt.Fprintln(os.Stderr, note)
	}
	for _, region := range s.Regions {
		tell(os.Stderr, &s, region, env.deployed[region])
	}
	if err := addStacks(app, &s, env); err != nil {
		return err
	}
	app.Synth(nil)
	return nil
}

// describe returns the version of the sources in a folder: its tag, or its commit like
// "devel-1a2b3c4d5e6f", each with "-changed" behind it if files were changed; "devel" where there is
// no repository.
func describe(ctx context.Context, folder string) string {
	git := func(args ...string) string {
		command := exec.CommandContext(ctx, "git", append([]string{"describe", "--dirty=-changed"}, args...)...)
		command.Dir = folder
		out, _ := command.Output()
		return strings.TrimSpace(string(out))
	}
	if tag := git("--tags", "--exact-match", "--match=v[0-9]*"); tag != "" {
		return tag
	}
	if commit := git("--always", "--abbrev=12", "--exclude=*"); commit != "" {
		return "devel-" + commit
	}
	return version.String()
}

// knownRegions are all regions that this version of the CDK knows, each with its partition. The CDK is
// asked once: it is another process, and each name is a question.
var knownRegions = sync.OnceValue(func() map[string]string {
	regions := map[string]string{}
	for _, info := range *regioninfo.RegionInfo_Regions() {
		regions[*info.Name()] = *info.Partition()
	}
	return regions
})
