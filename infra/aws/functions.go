package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"
	"github.com/klauspost/compress/flate"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/version"
)

// assets are the archives with the built functions, by the function's name.
type assets map[string]string

// build builds functions below folder; source is the folder of the module, and beside has files
// that go into the archive of a function, by the function's name. Its flags and its Go make the
// same bytes of the same sources everywhere, and so the same asset: a deployment of unchanged
// sources changes nothing. It needs Go, but no Docker.
func build(functions []topology.Function, beside map[string][]packed, source, folder, architecture string) (assets,
	error) {
	toolchain, err := readToolchain(source)
	if err != nil {
		return nil, err
	}
	environ := buildEnvironment(toolchain, architecture)
	built := assets{}
	for _, f := range functions {
		out := filepath.Join(folder, architecture, f.Metrics)
		binary := filepath.Join(out, bootstrap)
		if err := os.MkdirAll(out, 0o755); err != nil {
			return nil, fmt.Errorf("build the function %s: %w", f.Name, err)
		}
		command := exec.Command("go", "build", "-tags", "lambda.norpc", "-trimpath", "-buildvcs=false", "-ldflags",
			"-s -w -buildid=",
			"-o", binary, "./functions/"+f.Metrics)
		command.Dir = source
		command.Env = environ
		if output, err := command.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the function %s with %s, the toolchain of go.mod: %w\n%s", f.Name, toolchain, err,
				strings.TrimSpace(string(output)))
		}
		content, err := os.ReadFile(binary)
		if err == nil {
			err = pack(binary+".zip", append([]packed{{bootstrap, content}}, beside[f.Name]...)...)
		}
		if err != nil {
			return nil, fmt.Errorf("pack the function %s: %w", f.Name, err)
		}
		built[f.Name] = binary + ".zip"
	}
	return built, nil
}

// buildEnvironment is the environment of go build: whatever else the caller's environment says, it
// must not change the bytes. Go downloads the toolchain if it is another one itself.
func buildEnvironment(toolchain, architecture string) []string {
	goarch := map[string]string{"arm64": "arm64", "x86_64": "amd64"}[architecture]
	return append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOARM64=v8.0", "GOAMD64=v1", "GOEXPERIMENT=", "GOFIPS140=off")
}

var toolchainLine = regexp.MustCompile(`(?m)^toolchain (go\S+)`)

// readToolchain is the version of Go that builds the functions. go.mod names it: patch releases of
// Go make different bytes of the same sources.
func readToolchain(source string) (string, error) {
	content, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read which Go builds the functions: %w", err)
	}
	line := toolchainLine.FindSubmatch(content)
	if line == nil {
		return "", errors.New("read which Go builds the functions: go.mod must have a line like toolchain " +
			runtime.Version())
	}
	return string(line[1]), nil
}

// bootstrap is the file that Lambda starts in a function with an OS-only runtime.
const bootstrap = "bootstrap"

// packed is a file of an archive.
type packed struct {
	name    string
	content []byte
}

// pack writes the archive for Lambda. The CDK's command line could do that, but takes the files'
// modes from the disk: on Windows they are not executable, and every invocation would fail with
// Runtime.InvalidEntrypoint.
func pack(archive string, files ...packed) (err error) {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := zip.NewWriter(f)
	// The compressor of go.mod, because that of the standard library is another one in other
	// versions of Go, and this program may run with any.
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, 6) // of 9: the last 2.5 % would take seven times as long
	})
	for _, file := range files {
		// A fixed time, so that the same files make the same archive. It is the first that the
		// format has: without one the archive says day 0 of month 0, which some programs can't
		// read.
		header := &zip.FileHeader{Name: file.name, Method: zip.Deflate,
			Modified: time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(0o755)
		w, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := w.Write(file.content); err != nil {
			return err
		}
	}
	return z.Close()
}

type function struct {
	awslambda.Function
	role awsiam.Role
	logs awslogs.LogGroup
	live awslambda.Alias // of the version that is in use; nil: the function is invoked without a version
}

// newFunction creates a function with its own role and log group. The role may only write the log.
// It may not create the log group, so that none is left whose lines never expire.
func (s *stack) newFunction(name, description string, variables map[string]*string) function {
	f, _ := s.topology.Function(name)
	id := constructID(f)
	logs := s.newLogGroup(id+"Log", s.topology.Names.FunctionLog(f.Name), f.LogRetention)
	role := awsiam.NewRole(s.Stack, jsii.String(id+"Role"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
		Description: jsii.String("role of " + f.Name),
	})
	allow(role, []*string{logs.LogGroupArn()}, "logs:CreateLogStream", "logs:PutLogEvents")
	policy := role.Node().FindChild(jsii.String("DefaultPolicy")).Node().DefaultChild()
	policy.(awsiam.CfnPolicy).SetPolicyName(jsii.String(f.Name))
	variables["SPILLWAY_NAME"] = jsii.String(s.topology.Names.Pipeline)
	variables["SPILLWAY_LOG_LEVEL"] = jsii.String(s.settings.LogLevel)
	variables[version.Variable] = jsii.String(s.version)
	props := &awslambda.FunctionProps{
		FunctionName: jsii.String(f.Name), Description: jsii.String(description), Role: role, LogGroup: logs,
		Runtime: awslambda.Runtime_PROVIDED_AL2023(), Architecture: awslambda.Architecture_ARM_64(),
		Code: awslambda.Code_FromAsset(jsii.String(s.assets[name]), nil), Handler: jsii.String(bootstrap),
		Timeout: seconds(f.Timeout), MemorySize: jsii.Number(f.MemoryMB), Environment: &variables,
		CurrentVersionOptions: &awslambda.VersionOptions{RemovalPolicy: awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE},
	}
	if s.settings.Architecture == "x86_64" {
		props.Architecture = awslambda.Architecture_X86_64()
	}
	if f.ReservedConcurrency > 0 {
		props.ReservedConcurrentExecutions = jsii.Number(f.ReservedConcurrency)
	}
	made := function{Function: awslambda.NewFunction(s.Stack, jsii.String(id), props), role: role, logs: logs}
	s.functions[name] = made
	return made
}

// constructID is the ID of a function's construct, with which those of its parts begin.
func constructID(f topology.Function) string { return strings.ToUpper(f.Metrics[:1]) + f.Metrics[1:] }

// addSchedules creates what invokes functions at regular intervals.
//
// Nothing is retried: the next invocation comes in a minute, and a late one would report success
// for a minute that failed. Rule and function both need this: the rule invokes through a queue of
// Lambda's own, which retries errors and holds throttled invocations for 6 hours.
func (s *stack) addSchedules() {
	retries, age := jsii.Number(0), awscdk.Duration_Minutes(jsii.Number(1))
	for _, schedule := range s.topology.Schedules {
		of, _ := s.topology.Function(schedule.Function)
		f := s.functions[schedule.Function].Function
		f.ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{RetryAttempts: retries, MaxEventAge: age})
		target := awseventstargets.NewLambdaFunction(f,
			&awseventstargets.LambdaFunctionProps{RetryAttempts: retries, MaxEventAge: age})
		awsevents.NewRule(s.Stack, jsii.String(constructID(of)+"Schedule"), &awsevents.RuleProps{
			RuleName:    jsii.String(schedule.Function),
			Description: jsii.String("invokes the " + of.Metrics + " function"),
			Schedule:    awsevents.Schedule_Rate(seconds(schedule.Every)),
			Targets:     &[]awsevents.IRuleTarget{target},
		})
	}
}

// newLogGroup creates a log group that is deleted with the stack: it has nothing of an event in it.
func (s *stack) newLogGroup(id, name string, retention time.Duration) awslogs.LogGroup {
	group := awslogs.NewLogGroup(s.Stack, jsii.String(id), &awslogs.LogGroupProps{
		LogGroupName: jsii.String(name), RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
		Retention: awslogs.RetentionDays_ONE_DAY,
	})
	group.Node().DefaultChild().(awslogs.CfnLogGroup).SetRetentionInDays(jsii.Number(retention.Hours() / 24))
	return group
}

// grantRead allows the role to read parameters in SSM, also SecureStrings of the setting's KMS key.
func (p *pipeline) grantRead(role awsiam.Role, parameters ...string) {
	p.grantReadPlain(role, parameters...)
	if key := p.settings.KMSKey(p.region); key != "" {
		allow(role, []*string{jsii.String(key)}, "kms:Decrypt")
	}
}

// grantReadPlain lets a role read parameters that are not encrypted.
func (p *pipeline) grantReadPlain(role awsiam.Role, parameters ...string) {
	var resources []*string
	for _, name := range parameters {
		resources = append(resources, p.arn("ssm", "parameter/"+strings.TrimPrefix(name, "/")))
	}
	allow(role, resources, "ssm:GetParameter")
}

func seconds(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(d.Seconds()))
}
