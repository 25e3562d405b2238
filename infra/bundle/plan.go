package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/bundle/template"
	"github.com/spillwayhq/spillway/infra/settings"
)

// A Plan is what to deploy: a stack in one region.
type Plan struct {
	Stack  string // its name, NAME-REGION as the CDK app's
	Region string
	// Template is JSON, above the 51,200 bytes that CloudFormation takes in a request and at most
	// 1 MB: it has to be uploaded as TemplateKey, which contains its SHA-256. The stack has roles
	// without names of their own: it needs CAPABILITY_IAM.
	Template    []byte
	TemplateKey string
	// Parameters are all of the template's but BucketParameter, by name.
	Parameters map[string]string
	// Tags are the stack's own: CloudFormation puts them on its resources.
	Tags                  map[string]string
	TerminationProtection bool
	// Files are the functions' archives, in the order of their keys.
	Files []File
}

// Plan computes what to deploy with these settings, which must be valid (settings.Validate). adopt
// says that all of the pipeline's queues exist outside of the stack and are to be used, as the CDK
// app's adoptQueues decides for each queue: a bundle can adopt all three or none.
//
// The error has a line for each setting that the template can't express: its name, and that the CDK
// can; or it says what is wrong with the bundle.
func (b *Bundle) Plan(s *settings.Settings, adopt bool) (*Plan, error) {
	if err := Expressible(s); err != nil {
		return nil, err
	}
	content, err := b.template()
	if err != nil {
		return nil, err
	}
	choice := &template.Choice{Settings: s, Version: b.Version(), Adopt: adopt}
	values, files := template.Values(choice), map[string]File{}
	for _, function := range Functions() {
		file, err := b.file(function, s.Architecture)
		if err != nil {
			return nil, err
		}
		files[function], values[template.CodeParameter(function)] = file, file.Key
	}
	resolved, err := template.Resolve(content, template.Holding(choice), values)
	if err != nil {
		return nil, fmt.Errorf("the bundle %s: %w", b.path, err)
	}
	names := s.Topology().Names
	plan := &Plan{Stack: names.Stack(s.Regions[0]), Region: s.Regions[0], Parameters: resolved.Values(),
		Tags: s.AllTags(), TerminationProtection: s.TerminationProtection}
	plan.Tags["version"] = b.Version()
	if plan.Template, err = resolved.JSON(); err != nil {
		return nil, fmt.Errorf("the bundle %s: %w", b.path, err)
	}
	sum := sha256.Sum256(plan.Template)
	plan.TemplateKey = "templates/" + hex.EncodeToString(sum[:]) + ".json"
	for _, function := range resolved.Codes() {
		plan.Files = append(plan.Files, files[function])
	}
	slices.SortFunc(plan.Files, func(a, b File) int { return strings.Compare(a.Key, b.Key) })
	return plan, nil
}

// Expressible is an error with a line for each setting that no bundle can express.
func Expressible(s *settings.Settings) error {
	var errs []error
	refuse := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf(format+": deploy with the CDK (docs/deploy.md)", args...))
		}
	}
	refuse(len(s.Regions) != 1, "regions must be one, are %d", len(s.Regions))
	refuse(s.IngestEndpoint == settings.None, "ingestEndpoint=%s is not in the template of a release", settings.None)
	refuse(!s.Canary, "canary=false is not in the template of a release")
	refuse(len(s.WriteKeysParameters) > 1, "writeKeysParameter must be one parameter, are %d", len(s.WriteKeysParameters))
	refuse(len(s.Emails) > 1, "emails must be one address, are %d", len(s.Emails))
	refuse(len(s.TicketRecipients()) > 1 && s.TicketEmails != nil, "ticketEmails must be one address, are %d",
		len(s.TicketRecipients()))
	for _, setting := range [...]struct {
		name  string
		given bool
	}{
		{"domain", s.Domain != ""}, {"hostedZone", s.HostedZone != ""}, {"hostedZoneId", s.HostedZoneID != ""},
		{"certificates", len(s.Certificates) > 0}, {"kmsKeys", len(s.KMSKeys) > 0},
		{"statusRegion", len(s.StatusRegions) > 0}, {"statusDomain", s.StatusDomain != ""},
		{"statusCertificate", s.StatusCertificate != ""}, {"statusSite", s.StatusSite != ""},
	} {
		refuse(setting.given, "%s is not in the template of a release", setting.name)
	}
	return errors.Join(errs...)
}
