package deploying

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

const page = "../../../docs/install-aws.md"

// permissions are the actions that a policy must allow for the calls of a deployment, by the calls as
// the cloud of these tests has them; empty: none.
var permissions = map[string]string{
	"GetCallerIdentity": "", "HEAD bucket": "s3:ListBucket", "GET bucket list-type": "s3:ListBucket",
	"GET bucket tagging": "s3:GetBucketTagging", "PUT bucket": "s3:CreateBucket", "PUT bucket tagging": "s3:PutBucketTagging",
	"PUT bucket policy": "s3:PutBucketPolicy", "PUT bucket encryption": "s3:PutEncryptionConfiguration",
	"PUT bucket publicAccessBlock": "s3:PutBucketPublicAccessBlock", "GetQueueUrl": "sqs:GetQueueUrl",
	"GetParameter": "ssm:GetParameter",
}

// policyOfThePage are the actions of each statement of the policy in the page.
func policyOfThePage(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)^    \{\n(    .*\n)+`).Find(text)
	var policy struct {
		Statement []struct {
			Sid    string
			Action any
		}
	}
	if err := json.Unmarshal(block, &policy); err != nil {
		t.Fatalf("the page's policy is not JSON: %v\n%s", err, block)
	}
	all := map[string][]string{}
	for _, s := range policy.Statement {
		switch actions := s.Action.(type) {
		case string:
			all[s.Sid] = []string{actions}
		case []any:
			for _, a := range actions {
				all[s.Sid] = append(all[s.Sid], a.(string))
			}
		}
	}
	return all
}

func TestThePolicyOfThePageAllowsWhatADeploymentCallsAndNoMore(t *testing.T) {
	policy := policyOfThePage(t)
	used := map[string]bool{}
	collect := func(c *cloud) {
		for _, call := range c.calls {
			permission, known := permissions[call]
			method, path, isObject := strings.Cut(call, " ")
			switch {
			case known:
			case isObject && strings.HasPrefix(path, "/"):
				permission = map[string]string{"HEAD": "s3:GetObject", "PUT": "s3:PutObject"}[method]
			case !isObject:
				permission = "cloudformation:" + call
			}
			if !known && permission == "" {
				t.Errorf("which permission does %q need?", call)
			}
			used[permission] = true
		}
	}
	synctest.Test(t, func(t *testing.T) {
		first, failed, interrupted := newCloud(), newCloud(), newCloud()
		failed.add("ROLLBACK_COMPLETE")
		interrupted.add("REVIEW_IN_PROGRESS")
		interrupted.buckets[ownName] = &fakeBucket{owner: account, region: region, config: map[string]string{}, objects: map[string][]byte{}}
		for _, c := range []*cloud{first, failed, interrupted} {
			for _, dry := range []bool{true, false, false} {
				c.changes = map[bool]string{true: "", false: newCloud().changes}[c.executed()]
				if out, err := c.deploy(t, func(d *Deployment) { d.DryRun = dry }); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			collect(c)
		}
	})
	delete(used, "")
	var allowed []string
	for _, sid := range []string{"Stack", "Bucket", "Look"} {
		allowed = append(allowed, policy[sid]...)
	}
	for permission := range used {
		if !slices.Contains(allowed, permission) {
			t.Errorf("the policy lacks %s", permission)
		}
	}
	for _, permission := range allowed {
		if !used[permission] {
			t.Errorf("the policy allows %s, which no deployment needs", permission)
		}
	}
}

func TestThePolicyOfThePageHasTheServicesOfTheTemplate(t *testing.T) {
	text, err := os.ReadFile("../../../infra/aws/testdata/template.json")
	if err != nil {
		t.Fatal(err)
	}
	services := map[string]string{"ApiGatewayV2": "apigateway", "KinesisFirehose": "firehose"}
	policy := policyOfThePage(t)
	allowed := slices.Concat(policy["Roles"], policy["Resources"])
	types := regexp.MustCompile(`"Type": "AWS::(\w+)::`).FindAllStringSubmatch(string(text), -1)
	if len(types) < 50 {
		t.Fatalf("only %d resources were found", len(types))
	}
	for _, kind := range types {
		service := services[kind[1]]
		if service == "" {
			service = strings.ToLower(kind[1])
		}
		if !slices.Contains(allowed, service+":*") {
			t.Errorf("the policy has nothing for AWS::%s", kind[1])
		}
	}
}
