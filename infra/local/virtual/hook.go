package virtual

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/spillwayhq/spillway/infra/local"
	"github.com/spillwayhq/spillway/infra/local/codedeploy"
	"github.com/spillwayhq/spillway/infra/local/direct"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/app/rollout"
	"github.com/spillwayhq/spillway/shared/signed"
)

// NewHook makes the topology's rollout function, with which a deployment tries a version of deliver,
// and of ingest unless it is nil, before it gets traffic. Its calls of Lambda and CodeDeploy end at
// the emulators. The caller closes it after the deployment.
func NewHook(t *topology.Topology, service *codedeploy.Service, deliver, ingest *lambda.Version, logger *slog.Logger,
) *lambda.Function {
	o := rollout.Options{Name: t.Names.Pipeline, Deliver: deliver.ARN()}
	functions := []*lambda.Function{deliver.Function()}
	if ingest != nil {
		o.Ingest, functions = ingest.ARN(), append(functions, ingest.Function())
	}
	api := lambda.NewAPI(functions...)
	cloud := aws.Config{Region: local.Region, BaseEndpoint: aws.String("http://aws.test"),
		Credentials: credentials.NewStaticCredentialsProvider(local.AccessKey, local.AccessKey, ""),
		HTTPClient: direct.Client(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/") {
				api.ServeHTTP(w, r)
				return
			}
			service.ServeHTTP(w, r)
		}))}
	f, _ := t.Function(t.Names.RolloutFunction)
	return lambda.NewFunction(lambda.FunctionConfig{Name: f.Name, Timeout: f.Timeout, MemoryMB: f.MemoryMB,
		NewEnvironment: lambda.InProcess(func() (lambda.Handler, error) {
			return rollout.New(o, rollout.Parts{Lambda: signed.Lambda(cloud), CodeDeploy: signed.CodeDeploy(cloud),
				Logger: logger})
		})})
}
