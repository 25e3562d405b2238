package deploying

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spillwayhq/spillway/cmd/spillway/interrupt"
)

func TestAFirstDeploymentMakesABucketAndAStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		out, err := c.deploy(t, nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, want := range []string{
			"Spillway v1.2.3: pipeline spillway, account 123456789012, region eu-west-1, stack spillway-eu-west-1\n",
			"Made the private bucket " + ownName, "Uploaded s3://" + ownName + "/templates/abc.json (1 KB)",
			"Uploaded s3://" + ownName + "/functions/ingest.zip",
			"  + add       AWS::SQS::Queue                    EventsQueue\n", "1 to add, 0 to change, 0 to replace, 0 to remove\n",
			"created           AWS::SQS::Queue                    the-EventsQueue\n",
			"The stack spillway-eu-west-1 is deployed (CREATE_COMPLETE, ", "IngestUrl            https://ingest.example.com\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("it does not print %q:\n%s", want, out)
			}
		}
		s, b := c.stacks[theStack], c.buckets[ownName]
		if s == nil || s.status != "CREATE_COMPLETE" || !s.protected {
			t.Errorf("the stack is %+v", s)
		}
		if b == nil || len(b.objects) != 3 {
			t.Fatalf("the bucket is %+v", b)
		}
		for query, want := range map[string]string{"publicAccessBlock": "<RestrictPublicBuckets>true", "encryption": "AES256",
			"policy": `"aws:SecureTransport":"false"`, "tagging": ownTagValue} {
			if !strings.Contains(b.config[query], want) {
				t.Errorf("the bucket's %s is %s", query, b.config[query])
			}
		}
		for _, set := range s.sets {
			for key, want := range map[string]string{
				"TemplateURL":                        "https://" + ownName + ".s3.eu-west-1.amazonaws.com/templates/abc.json",
				"Capabilities.member.1":              "CAPABILITY_IAM",
				"Parameters.member.1.ParameterKey":   "CodeBucket",
				"Parameters.member.1.ParameterValue": ownName,
				"Parameters.member.2.ParameterKey":   "Empty",
				"Parameters.member.3.ParameterValue": pipeline,
				"Tags.member.2.Key":                  "pipeline",
			} {
				if got := set.form.Get(key); got != want {
					t.Errorf("%s of the change set is %q, want %q", key, got, want)
				}
			}
			if !set.form.Has("Parameters.member.2.ParameterValue") {
				t.Error("an empty parameter has no value")
			}
		}
	})
}

func TestASecondDeploymentUploadsNothingAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		if out, err := c.deploy(t, nil); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		c.changes, c.calls = "", nil
		out, err := c.deploy(t, nil)
		if err != nil || !strings.Contains(out, "Nothing to change: the stack spillway-eu-west-1 is as this deployment") ||
			!strings.Contains(out, "IngestUrl") {
			t.Errorf("%v\n%s", err, out)
		}
		if c.executed() || slices.ContainsFunc(c.calls, func(call string) bool { return strings.HasPrefix(call, "PUT") }) {
			t.Errorf("it called %q", c.calls)
		}
		for name, set := range c.stacks[theStack].sets {
			if set.status == "FAILED" {
				t.Errorf("the empty change set %s is left", name)
			}
		}
	})
}

func TestAnUnchangedStackGetsItsTerminationProtection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.changes = ""
		s := c.add("UPDATE_COMPLETE")
		if out, err := c.deploy(t, nil); err != nil || !s.protected || !strings.Contains(out, "protection is now on") {
			t.Errorf("%v, protected: %t\n%s", err, s.protected, out)
		}
	})
}

func TestEachStatusOfAStackHasAnAnswer(t *testing.T) {
	const nothing = "nothing is changed: "
	for status, want := range map[string]string{
		"CREATE_COMPLETE": "", "UPDATE_COMPLETE": "", "UPDATE_ROLLBACK_COMPLETE": "", "IMPORT_COMPLETE": "",
		"IMPORT_ROLLBACK_COMPLETE": "", "REVIEW_IN_PROGRESS": "", "ROLLBACK_COMPLETE": "", "DELETE_COMPLETE": "",
		"CREATE_IN_PROGRESS":                           nothing + "the stack spillway-eu-west-1 is being deployed by somebody else",
		"UPDATE_IN_PROGRESS":                           "spillway deploy --watch --name spillway",
		"UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":          "is being deployed",
		"UPDATE_ROLLBACK_IN_PROGRESS":                  "is being deployed",
		"UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS": "is being deployed",
		"ROLLBACK_IN_PROGRESS":                         "is being deployed",
		"IMPORT_IN_PROGRESS":                           "is being deployed",
		"DELETE_IN_PROGRESS":                           "is being deleted by somebody else",
		"UPDATE_ROLLBACK_FAILED":                       "aws cloudformation continue-update-rollback --region eu-west-1 --stack-name spillway-eu-west-1",
		"UPDATE_FAILED":                                "aws cloudformation rollback-stack --region eu-west-1 --stack-name spillway-eu-west-1",
		"CREATE_FAILED":                                "aws cloudformation delete-stack --region eu-west-1",
		"ROLLBACK_FAILED":                              "Delete what its events name",
		"DELETE_FAILED":                                "aws cloudformation delete-stack --region eu-west-1",
		"IMPORT_ROLLBACK_FAILED":                       "describe-stack-events",
		"SOMETHING_NEW":                                "which this version does not know",
	} {
		t.Run(status, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud()
				s := c.add(status)
				if status == "DELETE_COMPLETE" {
					delete(c.stacks, theStack)
				}
				if strings.HasPrefix(status, "UPDATE") || status == "CREATE_COMPLETE" || strings.HasPrefix(status, "IMPORT") {
					c.runs = updating()
				}
				out, err := c.deploy(t, nil)
				if want == "" {
					if err != nil || !c.executed() {
						t.Errorf("%v\n%s", err, out)
					}
					return
				}
				if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), nothing) {
					t.Errorf("%v, want %q", err, want)
				}
				if len(c.buckets) > 0 || len(s.sets) > 0 || out != "" {
					t.Errorf("something was made: %q, printed %q", c.calls, out)
				}
			})
		})
	}
}

func TestTheStackOfAFailedFirstDeploymentIsDeletedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		old := c.add("ROLLBACK_COMPLETE")
		old.protected = true
		out, err := c.deploy(t, func(d *Deployment) { d.DryRun = true })
		if err != nil || c.count("DeleteStack") > 0 || !strings.Contains(out, "A deployment deletes it, and makes all anew") {
			t.Errorf("a dry run: %v, %q\n%s", err, c.calls, out)
		}
		if out, err = c.deploy(t, nil); err != nil || !strings.Contains(out, "deleting it first") {
			t.Errorf("%v\n%s", err, out)
		}
		if s := c.stacks[theStack]; s == old || s.status != "CREATE_COMPLETE" {
			t.Errorf("%+v", s)
		}
	})
}

func TestAStackOfSomebodyElseIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fakeStack)
		want   string // of the error; empty: it is ours
	}{
		"no tag and no output": {func(s *fakeStack) { clear(s.tags); clear(s.outputs) },
			"refused, nothing is changed: the stack spillway-eu-west-1 in eu-west-1 is not a pipeline of Spillway: it has neither"},
		"of another pipeline": {func(s *fakeStack) { s.tags["pipeline"] = "shop" }, `it is of the pipeline "shop"`},
		"of somebody's, and its first deployment failed": {func(s *fakeStack) {
			clear(s.tags)
			s.status = "ROLLBACK_COMPLETE"
			clear(s.outputs)
		}, "is not a pipeline of Spillway"},
		"ours, without tags":      {func(s *fakeStack) { clear(s.tags) }, ""},
		"ours, of an old version": {func(s *fakeStack) { clear(s.tags); clear(s.outputs); s.outputs["EventsQueueUrl"] = "x" }, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			cloud := newCloud()
			cloud.runs = updating()
			c.change(cloud.add("UPDATE_COMPLETE"))
			_, err := cloud.deploy(t, nil)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			if c.want != "" && (cloud.executed() || cloud.count("DeleteStack") > 0 || len(cloud.buckets) > 0) {
				t.Errorf("%s: it called %q", name, cloud.calls)
			}
		})
	}
}

func TestAStackOfTheCDKIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.runs = updating()
		c.add("UPDATE_COMPLETE").parameters = []string{"BootstrapVersion"}
		if out, err := c.deploy(t, nil); err != nil || !strings.Contains(out, "The CDK has deployed this stack.") {
			t.Errorf("%v\n%s", err, out)
		}
		_, err := c.deploy(t, func(d *Deployment) {
			d.Compare = func(_ io.Writer, settings map[string]string) error {
				return errors.New("refused: " + settings["name"])
			}
		})
		if err == nil || err.Error() != "refused: spillway" {
			t.Errorf("what Compare refuses: %v", err)
		}
	})
}

const (
	replacesQueue = "<Replacement>True</Replacement><Details><member><Target><Attribute>Properties</Attribute><Name>QueueName</Name>" +
		"<RequiresRecreation>Always</RequiresRecreation></Target></member></Details>"
	maybe = "<Replacement>Conditional</Replacement>"
)

func TestWhatHoldsEventsIsNeitherReplacedNorRemovedUnasked(t *testing.T) {
	queue := "https://sqs.eu-west-1.amazonaws.com/123456789012/spillway-events"
	for name, c := range map[string]struct {
		changes string
		allow   []string
		want    string // of the error; empty: it is deployed
	}{
		"a queue is replaced": {changed("Modify", "AWS::SQS::Queue", "EventsQueue", queue, replacesQueue), nil,
			"it would put another one in the place of the queue spillway-events, because of QueueName: events that wait in it would not be delivered. To do it all the same: --allow-replacement spillway-events"},
		"a queue may be replaced": {changed("Modify", "AWS::SQS::Queue", "EventsQueue", queue, maybe), nil, "it would perhaps put another one"},
		"a queue is removed":      {changed("Remove", "AWS::SQS::Queue", "EventsQueue", queue, ""), nil, "it would delete the queue spillway-events"},
		"a queue is retained": {changed("Remove", "AWS::SQS::Queue", "EventsQueue", queue, "<PolicyAction>Retain</PolicyAction>"), nil,
			"remove from the stack, and retain outside of it, the queue spillway-events"},
		"an archive is removed":  {changed("Remove", "AWS::S3::Bucket", "Archive", "archive-1", ""), nil, "delete the bucket archive-1: the archive in it"},
		"a table is removed":     {changed("Remove", "AWS::Glue::Table", "T", "events", ""), nil, "delete the table events"},
		"a queue is changed":     {changed("Modify", "AWS::SQS::Queue", "EventsQueue", queue, "<Replacement>False</Replacement>"), nil, ""},
		"an alarm is replaced":   {changed("Modify", "AWS::CloudWatch::Alarm", "A", "a", "<Replacement>True</Replacement>"), nil, ""},
		"allowed by its name":    {changed("Remove", "AWS::SQS::Queue", "EventsQueue", queue, ""), []string{"spillway-events"}, ""},
		"allowed by its ID":      {changed("Remove", "AWS::SQS::Queue", "EventsQueue", queue, ""), []string{"EventsQueue"}, ""},
		"another one is allowed": {changed("Remove", "AWS::SQS::Queue", "EventsQueue", queue, ""), []string{"spillway-evnts"}, "--allow-replacement must name a queue, bucket or table that the change set changes, has spillway-evnts"},
		"one of two is allowed": {changed("Remove", "AWS::SQS::Queue", "EventsQueue", queue, "") + changed("Remove", "AWS::SQS::Queue", "Bulk", "x/bulk", ""),
			[]string{"EventsQueue"}, "it would delete the queue bulk"},
	} {
		synctest.Test(t, func(t *testing.T) {
			cloud := newCloud()
			cloud.changes, cloud.runs = c.changes, updating()
			s := cloud.add("UPDATE_COMPLETE")
			out, err := cloud.deploy(t, func(d *Deployment) { d.AllowReplacement = c.allow })
			if c.want == "" {
				if err != nil || !cloud.executed() {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "refused, nothing is changed: ") &&
				!strings.HasPrefix(err.Error(), "refused, nothing is changed:\n") {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
			if cloud.executed() || len(s.sets) > 0 {
				t.Errorf("%s: it called %q, left %v", name, cloud.calls, s.sets)
			}
		})
	}
}

func TestTheAnswerNoLeavesNoChangeSetAndNoStack(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		first  bool
	}{"no": {"no\n", true}, "nothing": {"", true}, "y": {"y\n", false}, "no, of an update": {"no\n", false}} {
		synctest.Test(t, func(t *testing.T) {
			cloud := newCloud()
			cloud.runs = updating()
			if !c.first {
				cloud.add("UPDATE_COMPLETE")
			}
			out, err := cloud.deploy(t, func(d *Deployment) {
				d.Yes, d.Interactive, d.In = false, true, strings.NewReader(c.answer)
			})
			if err != nil || !strings.Contains(out, "Deploy this? Type yes to confirm: Nothing was changed: the change set is deleted. "+
				"The template stays in the bucket "+ownName) {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
			if s := cloud.stacks[theStack]; cloud.executed() || c.first != (s == nil) || s != nil && len(s.sets) > 0 {
				t.Errorf("%s: left %+v", name, s)
			}
			if len(cloud.buckets[ownName].objects) != 1 {
				t.Errorf("%s: code was uploaded before the answer", name)
			}
		})
	}
}

func TestTheAnswerYesDeploys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		out, err := c.deploy(t, func(d *Deployment) { d.Yes, d.Interactive, d.In = false, true, strings.NewReader("yes\n") })
		if err != nil || !c.executed() {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestWithoutATerminalNothingIsMadeUnlessYesIsGiven(t *testing.T) {
	c := newCloud()
	_, err := c.deploy(t, func(d *Deployment) { d.Yes = false })
	if err == nil || !strings.Contains(err.Error(), "give --yes") || len(c.calls) > 0 {
		t.Errorf("%v, called %q", err, c.calls)
	}
}

func TestADryRunShowsTheChangesAndLeavesNoChangeSet(t *testing.T) {
	for _, first := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			if !first {
				c.add("UPDATE_COMPLETE")
			}
			out, err := c.deploy(t, func(d *Deployment) { d.Yes, d.DryRun = false, true })
			if err != nil || !strings.Contains(out, "+ add") || !strings.Contains(out, "Nothing was changed: the change set is deleted.\n") {
				t.Errorf("%v\n%s", err, out)
			}
			if s := c.stacks[theStack]; c.executed() || first != (s == nil) || s != nil && len(s.sets) > 0 {
				t.Errorf("left %+v", s)
			}
		})
	}
}

func TestTheStackOfAnotherFirstDeploymentIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		s := c.add("REVIEW_IN_PROGRESS")
		s.sets["of-somebody"] = &fakeSet{status: "CREATE_COMPLETE", execution: "AVAILABLE"}
		out, err := c.deploy(t, func(d *Deployment) { d.DryRun = true })
		if err != nil || !strings.Contains(out, "somebody else reviews one now (change set of-somebody)") ||
			!strings.Contains(out, "is left, because it has the change set of-somebody of another deployment") {
			t.Errorf("%v\n%s", err, out)
		}
		if c.stacks[theStack] != s || len(s.sets) != 1 {
			t.Errorf("the change set of somebody else was taken away: %q", c.calls)
		}
	})
}

func TestAFailedDeploymentNamesItsFirstReason(t *testing.T) {
	for name, c := range map[string]struct {
		first bool
		runs  []moment
		want  []string
	}{
		"an update": {false, []moment{{status: "UPDATE_IN_PROGRESS"},
			{after: time.Second, resource: "AWS::Lambda::Alias/DeliverAlias", status: "UPDATE_FAILED", reason: "Rollback successful"},
			{resource: "AWS::Lambda::Function/Ingest", status: "UPDATE_FAILED", reason: "Resource update cancelled"},
			{status: "UPDATE_ROLLBACK_IN_PROGRESS", reason: "The following resource(s) failed to update: [DeliverAlias]"},
			{after: 4 * time.Second, status: "UPDATE_ROLLBACK_COMPLETE"}},
			[]string{"failed (UPDATE_ROLLBACK_COMPLETE): AWS::Lambda::Alias DeliverAlias: Rollback successful", "A deployment went back",
				"the pipeline works as before"}},
		"a first one": {true, []moment{{status: "CREATE_IN_PROGRESS"},
			{after: time.Second, resource: "AWS::SQS::Queue/Bulk", status: "CREATE_FAILED", reason: "Resource creation cancelled"},
			{after: time.Second, resource: "AWS::Lambda::Function/Deliver", status: "CREATE_FAILED", reason: "below its minimum value of [10]"},
			{status: "ROLLBACK_IN_PROGRESS"},
			{after: time.Second, resource: "AWS::SQS::QueuePolicy/P", status: "DELETE_SKIPPED"},
			{after: 4 * time.Second, status: "ROLLBACK_COMPLETE"}},
			[]string{"failed (ROLLBACK_COMPLETE): AWS::Lambda::Function Deliver: below its minimum value of [10]",
				"The next deployment deletes the empty stack", "left outside of the stack:\n  AWS::SQS::QueuePolicy the-P"}},
		"what can't be undone": {false, []moment{{status: "UPDATE_IN_PROGRESS"},
			{after: time.Second, resource: "AWS::IAM::Role/R", status: "UPDATE_FAILED", reason: "not authorized"},
			{after: 4 * time.Second, status: "UPDATE_ROLLBACK_FAILED"}}, []string{"not authorized", "continue-update-rollback"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			cloud := newCloud()
			cloud.runs = c.runs
			if !c.first {
				cloud.add("UPDATE_COMPLETE")
			}
			out, err := cloud.deploy(t, nil)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v\nwant %q\n%s", name, err, want, out)
				}
			}
		})
	}
}

// TestAnInterruptLeavesNothingUnnamed interrupts a deployment after each of its calls, and during it.
func TestAnInterruptLeavesNothingUnnamed(t *testing.T) {
	for _, c := range []struct{ first, during bool }{{true, false}, {false, false}, {true, true}, {false, true}} {
		first, during := c.first, c.during
		for n := 1; ; n++ {
			ended := false
			synctest.Test(t, func(t *testing.T) {
				c := newCloud()
				if !first {
					c.runs = updating()
					c.add("UPDATE_COMPLETE")
				}
				ctx, cancel := context.WithCancelCause(t.Context())
				calls := 0
				count := func() {
					if calls++; calls == n {
						cancel(interrupt.Err)
					}
				}
				if during {
					c.fault = func(string, int) *fault { count(); return nil }
				} else {
					c.after = func(string) { count() }
				}
				out, err := c.deployIn(ctx, nil)
				if ended = calls < n; ended {
					return
				}
				s := c.stacks[theStack]
				switch {
				case err == nil: // it was at its end
				case !errors.Is(err, interrupt.Err):
					t.Errorf("after call %d (%s): %v", n, c.calls[n-1], err)
				case c.executed():
					if !strings.Contains(err.Error(), "AWS goes on") || !strings.Contains(err.Error(), "--watch --name spillway") {
						t.Errorf("after call %d (%s): %v", n, c.calls[n-1], err)
					}
				case first && s != nil, s != nil && (len(s.sets) > 0 || s.protected):
					t.Errorf("after call %d (%s): left %+v\n%v\n%s", n, c.calls[n-1], s, err, out)
				}
				if strings.Contains(errText(err), "is left") {
					t.Errorf("after call %d (%s): %v", n, c.calls[n-1], err)
				}
			})
			if ended {
				if n < 15 {
					t.Errorf("only %d calls were interrupted", n)
				}
				break
			}
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAnInterruptAtTheQuestionDeletesTheChangeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		in, typed := io.Pipe()
		defer typed.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(interrupt.Err) })
		out, err := c.deployIn(ctx, func(d *Deployment) { d.Yes, d.Interactive, d.In = false, true, in })
		if !errors.Is(err, interrupt.Err) || c.stacks[theStack] != nil || c.executed() ||
			!strings.Contains(err.Error(), "nothing is deployed. What is in the bucket "+ownName) {
			t.Errorf("%v, left %+v\n%s", err, c.stacks[theStack], out)
		}
	})
}

// TestARunAfterAKillCompletesTheDeployment stops a deployment for good after each of its calls, as kill
// -9 does, and runs the next one.
func TestARunAfterAKillCompletesTheDeployment(t *testing.T) {
	for n := 1; ; n++ {
		ended := false
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			calls := 0
			c.fault = func(string, int) *fault {
				if calls++; calls > n {
					return &fault{status: 403, code: "AccessDenied", message: "killed"} // nothing gets through any more
				}
				return nil
			}
			_, err := c.deploy(t, nil)
			if ended = calls <= n; ended {
				return
			}
			c.fault = nil
			killed := c.calls[n-1]
			time.Sleep(time.Minute) // what CloudFormation had begun ends
			c.runs = updating()
			if s := c.stacks[theStack]; s == nil || s.status == "REVIEW_IN_PROGRESS" {
				c.runs = newCloud().runs
			}
			out, again := c.deploy(t, nil)
			s := c.stacks[theStack]
			if again != nil || s == nil || !strings.HasSuffix(s.status, "E_COMPLETE") || !s.protected || len(c.buckets[ownName].config) != 4 {
				t.Errorf("killed after call %d (%s: %v): %v\n%+v\n%s", n, killed, err, again, s, out)
			}
		})
		if ended {
			if n < 20 {
				t.Errorf("only %d calls were tried", n)
			}
			return
		}
	}
}

// TestALostConnectionIsNoticedAtMost loses the answer of each call once, whether AWS has done what it
// was asked or not.
func TestALostAnswerOfAnyCallDoesNotEndADeployment(t *testing.T) {
	for _, through := range []bool{true, false} {
		for n := 1; ; n++ {
			ended := false
			synctest.Test(t, func(t *testing.T) {
				c := newCloud()
				calls := 0
				c.fault = func(string, int) *fault {
					if calls++; calls == n {
						return &fault{err: errLost, through: through}
					}
					return nil
				}
				out, err := c.deploy(t, nil)
				ended = calls < n
				if s := c.stacks[theStack]; err != nil || s == nil || s.status != "CREATE_COMPLETE" {
					t.Errorf("call %d (%s), done: %t: %v, %+v\n%s", n, c.calls[min(n, len(c.calls))-1], through, err, s, out)
				}
			})
			if ended {
				break
			}
		}
	}
}

func TestPollingGoesOnWhileAWSIsAwayOrThrottles(t *testing.T) {
	for name, f := range map[string]fault{"away": {err: errLost},
		"throttled": {status: 400, code: "Throttling", message: "Rate exceeded"}, "broken": {status: 503}} {
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			from := time.Time{}
			c.fault = func(call string, _ int) *fault {
				if call == "ExecuteChangeSet" {
					from = time.Now()
				}
				if !from.IsZero() && call != "ExecuteChangeSet" && time.Since(from) < 5*time.Minute {
					return &f
				}
				return nil
			}
			out, err := c.deploy(t, nil)
			if err != nil || !strings.Contains(out, "is deployed (CREATE_COMPLETE") || strings.Count(out, "Asking again") != 1 {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		})
	}
}

func TestWhatCannotBePolledSaysThatAWSGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		fault fault
		want  string
	}{
		"away for long":       {fault{err: errLost}, "can't be reached"},
		"expired credentials": {fault{status: 403, code: "ExpiredToken"}, "have expired"},
		"denied":              {fault{status: 403, code: "AccessDenied", message: "no"}, "allow your role cloudformation:DescribeStacks"},
	} {
		synctest.Test(t, func(t *testing.T) {
			cloud := newCloud()
			cloud.fault = func(call string, _ int) *fault {
				if cloud.executed() && call == "DescribeStacks" {
					return &c.fault
				}
				return nil
			}
			began := time.Now()
			_, err := cloud.deploy(t, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "AWS goes on") {
				t.Errorf("%s: %v", name, err)
			}
			if waited := time.Since(began) > patience; waited != (name == "away for long") {
				t.Errorf("%s: it ended after %v", name, time.Since(began))
			}
		})
	}
}

func TestADeploymentWhoseEventsMayNotBeReadIsFollowedByItsStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.add("UPDATE_COMPLETE")
		c.runs = updating()
		c.runs[0].after = 20 * time.Second // the status is that of the deployment before for so long
		c.fault = func(call string, _ int) *fault {
			if call == "DescribeStackEvents" {
				return &fault{status: 403, code: "AccessDenied", message: "no"}
			}
			return nil
		}
		out, err := c.deploy(t, nil)
		if err != nil || strings.Count(out, "cloudformation:DescribeStackEvents") != 1 || len(c.stacks[theStack].queued) > 0 {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestTheStatusOfTheDeploymentBeforeIsNotTakenForTheResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.add("UPDATE_COMPLETE")
		c.runs = updating()
		c.runs[0].after = 20 * time.Second
		if out, err := c.deploy(t, nil); err != nil || !strings.Contains(out, "changed           AWS::Lambda::Function") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestARefusalOfAWSNamesThePermission(t *testing.T) {
	for call, want := range map[string]string{
		"DescribeStacks": "cloudformation:DescribeStacks", "CreateChangeSet": "cloudformation:CreateChangeSet",
		"DescribeChangeSet": "cloudformation:DescribeChangeSet", "ExecuteChangeSet": "cloudformation:ExecuteChangeSet",
		"UpdateTerminationProtection": "cloudformation:UpdateTerminationProtection",
		"PUT bucket":                  "s3:CreateBucket", "PUT bucket policy": "s3:PutBucketPolicy",
		"PUT bucket publicAccessBlock": "s3:PutBucketPublicAccessBlock", "PUT bucket encryption": "s3:PutEncryptionConfiguration",
		"PUT bucket tagging": "s3:PutBucketTagging", "PUT /templates/abc.json": "s3:PutObject",
		"PUT /functions/ingest.zip": "s3:PutObject", "HEAD /templates/abc.json": "s3:GetObject and s3:ListBucket",
		"HEAD bucket": "your role lacks s3:ListBucket",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			c.fault = func(one string, n int) *fault {
				if one == call {
					return &fault{status: http.StatusForbidden, code: "AccessDenied", message: "not authorized"}
				}
				return nil
			}
			_, err := c.deploy(t, nil)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", call, err, want)
			}
			if s := c.stacks[theStack]; s != nil && call != "DescribeChangeSet" || c.count(call) > 2 {
				t.Errorf("%s: left %+v, called %q", call, s, c.calls)
			}
		})
	}
	for call, want := range map[string]string{"GetQueueUrl": "sqs:GetQueueUrl", "GetParameter": "ssm:GetParameter"} {
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			c.fault = func(one string, _ int) *fault {
				if one == call {
					return &fault{status: 400, code: "AccessDeniedException", message: "no"}
				}
				return nil
			}
			if out, err := c.deploy(t, nil); err != nil || !strings.Contains(out, "allow your role "+want) {
				t.Errorf("%s is needed only to say more: %v\n%s", call, err, out)
			}
		})
	}
}

func TestWrongCredentialsEndBeforeAnythingIsMade(t *testing.T) {
	for code, want := range map[string]string{"ExpiredToken": "your AWS credentials have expired",
		"InvalidClientTokenId": "AWS does not know your credentials", "SignatureDoesNotMatch": "AWS does not know your credentials"} {
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			c.fault = func(string, int) *fault { return &fault{status: 403, code: code} }
			if _, err := c.deploy(t, nil); err == nil || !strings.Contains(err.Error(), want) || len(c.calls) > 1 {
				t.Errorf("%s: %v after %q", code, err, c.calls)
			}
		})
	}
}

func TestAFaultyTemplateLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.fault = func(call string, n int) *fault {
			if call == "DescribeChangeSet" && n == 1 {
				for _, set := range c.stacks[theStack].sets {
					set.status, set.reason = "FAILED", "Transform failed"
				}
			}
			return nil
		}
		_, err := c.deploy(t, nil)
		if err == nil || !strings.Contains(err.Error(), "(FAILED): Transform failed") || c.stacks[theStack] != nil {
			t.Errorf("%v, left %+v", err, c.stacks[theStack])
		}
	})
}

func TestAnInterruptBeforeTheNextAttemptIsSaidToBeOne(t *testing.T) {
	for _, call := range []string{"DescribeStacks", "GetQueueUrl", "HEAD bucket", "UpdateTerminationProtection"} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			c := newCloud()
			s := c.add("UPDATE_COMPLETE")
			c.fault = func(made string, _ int) *fault {
				if made != call || ctx.Err() != nil {
					return nil
				}
				time.AfterFunc(backoff/4, func() { cancel(interrupt.Err) })
				return &fault{status: 503, through: true}
			}
			if _, err := c.deployIn(ctx, nil); !errors.Is(err, interrupt.Err) || len(s.sets) > 0 || s.protected {
				t.Errorf("%s: %v, left %+v", call, err, s)
			}
		})
	}
}

// TestOfTwoDeploymentsAtATimeTheSecondIsTold lets another deployment begin between the change set and
// its execution.
func TestOfTwoDeploymentsAtATimeTheSecondIsTold(t *testing.T) {
	for name, faster := range map[string]func(*cloud, *fakeStack){
		"it is under way":       func(c *cloud, s *fakeStack) { s.run(updating()) },
		"and all sets are gone": func(c *cloud, s *fakeStack) { clear(s.sets); s.run(updating()) },
		"it has ended": func(c *cloud, s *fakeStack) {
			for _, set := range s.sets {
				set.execution = "OBSOLETE"
			}
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			s := c.add("UPDATE_COMPLETE")
			c.runs = updating()
			c.fault = func(call string, _ int) *fault {
				if call == "ExecuteChangeSet" {
					faster(c, s)
					c.tick()
				}
				return nil
			}
			_, err := c.deploy(t, nil)
			if err == nil || !strings.Contains(err.Error(), "spillway deploy --watch --name spillway --set regions=eu-west-1") ||
				!strings.HasPrefix(err.Error(), "nothing is changed") || s.protected {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestOfAHundredDeploymentsAtATimeOneIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		results := make(chan error)
		for range 100 {
			go func() {
				_, err := c.deploy(t, nil)
				results <- err
			}()
		}
		deployed := 0
		for range 100 {
			switch err := <-results; {
			case err == nil:
				deployed++
			case !strings.Contains(err.Error(), "nothing is changed"):
				t.Error(err)
			}
		}
		s := c.stacks[theStack]
		if deployed != 1 || s == nil || s.status != "CREATE_COMPLETE" || len(s.sets) != 1 {
			t.Errorf("%d were made, the stack is %+v", deployed, s)
		}
	})
}

const ownTags = `<Tagging><TagSet><Tag><Key>` + ownTag + `</Key><Value>` + ownTagValue + `</Value></Tag></TagSet></Tagging>`

func TestABucketThatAnotherRunMakesAtTheMomentIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		made := &fakeBucket{account, region, map[string]string{}, map[string][]byte{}}
		c.buckets[ownName] = made
		c.after = func(call string) {
			if call == "GET bucket tagging" { // after it was read, and before the bucket is listed
				made.config["tagging"], made.objects["/theirs"] = ownTags, nil
			}
		}
		if out, err := c.deploy(t, nil); err != nil || len(made.objects) < 4 {
			t.Errorf("%v, the bucket has %d objects\n%s", err, len(made.objects), out)
		}
	})
}

func TestABucketThatMayNotBeUsedIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		bucket *fakeBucket
		given  string
		want   string // of the error; empty: it is used
	}{
		"of another account":        {&fakeBucket{owner: "999999999999", region: region}, "", "it belongs to another account than 123456789012, or your role lacks s3:ListBucket"},
		"in another region":         {&fakeBucket{owner: account, region: "us-east-1"}, "", "is in us-east-1, and Lambda reads code only from a bucket in eu-west-1; give --bucket"},
		"not made by this program":  {&fakeBucket{owner: account, region: region, objects: map[string][]byte{"/x": nil}}, "", "it lacks the tag spillway:purpose=deploy; give --bucket"},
		"made and not yet tagged":   {&fakeBucket{owner: account, region: region}, "", ""},
		"made by this program":      {&fakeBucket{owner: account, region: region, config: map[string]string{"tagging": ownTags}, objects: map[string][]byte{"/x": nil}}, "", ""},
		"given":                     {&fakeBucket{owner: account, region: region, objects: map[string][]byte{"/x": nil}}, "my-bucket", ""},
		"given, of another account": {&fakeBucket{owner: "999999999999", region: region}, "my-bucket", "the bucket my-bucket can't be used: it belongs to another account"},
		"given, and does not exist": {nil, "my-bucket", ""},
		"given, in another region":  {&fakeBucket{owner: account, region: "us-west-2"}, "my-bucket", "the bucket my-bucket is in us-west-2"},
	} {
		synctest.Test(t, func(t *testing.T) {
			cloud := newCloud()
			at := ownName
			if c.given != "" {
				at = c.given
			}
			if c.bucket != nil {
				if c.bucket.config == nil {
					c.bucket.config = map[string]string{}
				}
				if c.bucket.objects == nil {
					c.bucket.objects = map[string][]byte{}
				}
				cloud.buckets[at] = c.bucket
			}
			out, err := cloud.deploy(t, func(d *Deployment) { d.Bucket = c.given })
			if c.want == "" {
				if err != nil || len(cloud.buckets[at].objects) < 3 {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
				if untouched := name == "given"; untouched != (len(cloud.buckets[at].config) == 0) {
					t.Errorf("%s: its configuration is %v", name, cloud.buckets[at].config)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || cloud.stacks[theStack] != nil {
				t.Errorf("%s: %v, want %q", name, err, c.want)
			}
		})
	}
}

func TestABucketNameThatSomebodyElseHasTakenIsSaid(t *testing.T) {
	for code, want := range map[string]string{"BucketAlreadyExists": "somebody else has one of this name; give --bucket",
		"OperationAborted": "try again in a minute"} {
		synctest.Test(t, func(t *testing.T) {
			c := newCloud()
			c.fault = func(call string, _ int) *fault {
				if call == "PUT bucket" {
					return &fault{status: 409, code: code}
				}
				return nil
			}
			if _, err := c.deploy(t, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", code, err)
			}
		})
	}
}

func TestAnObjectThatIsNotWholeIsUploadedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		if _, err := c.deploy(t, nil); err != nil {
			t.Fatal(err)
		}
		c.buckets[ownName].objects["/functions/ingest.zip"] = []byte("ing")
		c.runs = updating()
		if out, err := c.deploy(t, nil); err != nil || string(c.buckets[ownName].objects["/functions/ingest.zip"]) != "ingest" {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestADamagedFileIsNotUploaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		_, err := c.deploy(t, func(d *Deployment) {
			plan := d.Plan
			d.Plan = func(adopt bool) (Plan, error) {
				p, err := plan(adopt)
				p.Code[0].SHA256 = strings.Repeat("0", 64)
				return p, err
			}
		})
		if err == nil || !strings.Contains(err.Error(), "functions/deliver.zip is damaged") || c.executed() || c.stacks[theStack] != nil {
			t.Errorf("%v, %q", err, c.calls)
		}
	})
}

func TestQueuesThatADeletedStackRetainedAreAdoptedAllOrNone(t *testing.T) {
	all := []string{"spillway-events", "spillway-bulk", "spillway-dead-letters"}
	for name, c := range map[string]struct {
		setting string
		outside []string
		adopt   bool
		want    string // of the error
	}{
		"none":                    {"auto", nil, false, ""},
		"all":                     {"auto", all, true, ""},
		"all, as it says":         {"true", all, true, ""},
		"all of the region":       {"us-east-1,eu-west-1", all, true, ""},
		"some":                    {"auto", all[:2], false, "A release adopts all of them or none"},
		"all, and it says not to": {"false", all, false, "adoptQueues=false says not to use it"},
		"all of another region":   {"us-east-1", all, false, "adoptQueues=us-east-1 says not to use it"},
		"none of the region":      {"eu-west-1", nil, false, "AWS has no queue of this pipeline outside"},
		"none, and it says not":   {"false", nil, false, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			cloud := newCloud()
			cloud.queues = c.outside
			adopted := false
			out, err := cloud.deploy(t, func(d *Deployment) {
				plan := d.Plan
				d.AdoptQueues = c.setting
				d.Plan = func(adopt bool) (Plan, error) { adopted = adopt; return plan(adopt) }
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) || adopted != c.adopt {
				t.Errorf("%s: adopted: %t, %v\n%s", name, adopted, err, out)
			}
			if c.want != "" && len(cloud.buckets) > 0 {
				t.Errorf("%s: something was made: %q", name, cloud.calls)
			}
		})
	}
}

func TestAMissingWriteKeyIsSaidBeforeTheDeployment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.params = nil
		out, err := c.deploy(t, nil)
		at := strings.Index(out, "Note: the parameter /spillway/write-key does not exist in eu-west-1")
		if err != nil || at < 0 || at > strings.Index(out, "Changes of the stack") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestWatchFollowsTheDeploymentOfSomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		s := c.add("UPDATE_COMPLETE")
		s.event(c, "AWS::SQS::Queue/Old", "UPDATE_COMPLETE", "")
		s.run(updating())
		c.tick()
		var out strings.Builder
		watch := func() error {
			_, err := c.deploy(t, func(d *Deployment) {
				d.Out = &out
				if err := d.Watch(t.Context()); err != nil {
					t.Error(err)
				}
				d.Yes = false
			})
			return err
		}
		if err := watch(); err == nil {
			t.Error("the deployment behind it was not refused")
		}
		if !strings.Contains(out.String(), "The stack spillway-eu-west-1: UPDATE_IN_PROGRESS\n") ||
			!strings.Contains(out.String(), "is deployed (UPDATE_COMPLETE") || strings.Contains(out.String(), "the-Old") {
			t.Error(out.String())
		}
		out.Reset()
		_ = watch()
		if !strings.Contains(out.String(), "No deployment of the stack spillway-eu-west-1 is under way (UPDATE_COMPLETE)") ||
			!strings.Contains(out.String(), "IngestUrl") {
			t.Error(out.String())
		}
	})
}
