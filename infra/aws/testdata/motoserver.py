"""moto's server with the types of CloudFormation resources that the stack has and moto lacks.

    python3 motoserver.py serve                      prints its URL and serves until its input ends
    python3 motoserver.py read URL REGION STACK      prints what the services say of each resource of a stack, as JSON

The missing types are created through the server's own APIs by boto3, which checks every name and type
against AWS's models.
"""

import datetime
import json
import logging
import sys
import uuid

import boto3

ENDPOINT = ""
REGIONAL_ZONE = "ZREGIONALAPIS"  # in which API Gateway has the hosts of domains


def client(service, region):
    return boto3.client(service, region_name=region, endpoint_url=ENDPOINT, aws_access_key_id="test",
                        aws_secret_access_key="test")


class Type:
    """A type that moto lacks: how it is made of its properties, deleted, and updated if not by both. ref is its Ref."""

    def __init__(self, name, service, create, delete, attributes=None, update=None):
        self.name, self.service, self.create, self.delete, self.update = name, service, create, delete, update
        self.attributes = attributes or {}


def put(method, **fixed):
    """Creates by a call that takes the properties as they are, and refers to the property in name."""
    def create(c, p):
        name = fixed["name"]
        getattr(c, method)(**p)
        return p[name]
    return create


def api_gateway(method, key):
    def create(c, p):
        return getattr(c, method)(**p)[key]
    return create


def create_stage(c, p):
    c.create_stage(**p)
    return p["ApiId"] + "/" + p["StageName"]


def create_invoke_config(c, p):
    c.put_function_event_invoke_config(**p)
    return p["FunctionName"]


def set_queue_policy(c, p):
    for url in p["Queues"]:
        c.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(p["PolicyDocument"])})
    return p["Queues"][0]


def set_topic_policy(c, p):
    for arn in p["Topics"]:
        c.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(p["PolicyDocument"]))
    return p["Topics"][0]


def set_bucket_policy(c, p):
    c.put_bucket_policy(Bucket=p["Bucket"], Policy=json.dumps(p["PolicyDocument"]))
    return p["Bucket"]


def publish_version(c, p):
    made = c.publish_version(FunctionName=p["FunctionName"])
    return made["FunctionArn"].partition(":function:")[0] + ":function:" + p["FunctionName"] + ":" + made["Version"]


def delete_alias(c, p, ref):
    try:
        c.delete_alias(FunctionName=p["FunctionName"], Name=p["Name"])
    except c.exceptions.ResourceNotFoundException:
        pass  # it went with its function


def as_code_deploy_has_it(value):
    """Properties whose names begin in lower case, as in CodeDeploy's API."""
    if isinstance(value, dict):
        return {key[0].lower() + key[1:]: as_code_deploy_has_it(inner) for key, inner in value.items()}
    return [as_code_deploy_has_it(inner) for inner in value] if isinstance(value, list) else value


def with_tags(p):
    """Only tags have capitals there too."""
    return {**as_code_deploy_has_it(p), "tags": p.get("Tags", [])}


def create_application(c, p):
    c.create_application(**with_tags(p))
    return p["ApplicationName"]


def create_deployment_group(c, p):
    c.create_deployment_group(**with_tags(p))
    return p["DeploymentGroupName"]


def delete_application(c, p, ref):
    """moto has no call for it. Its groups go with it."""
    from moto.codedeploy.models import codedeploy_backends
    for backends in codedeploy_backends.values():
        backends[c.meta.region_name].applications.pop(ref, None)
        backends[c.meta.region_name].deployment_groups.pop(ref, None)


def nothing(c, p, ref):
    """Goes with its parent, or can't be taken back by the service's API."""


def regional_host(c, ref):
    """The host of a domain in a region, which moto does not make up."""
    return "d-%s.execute-api.%s.amazonaws.com" % (ref.replace(".", "-"), c.meta.region_name)


def delete_domain(c, p, ref):
    """moto deletes in any order, and stumbles over the mappings of a domain."""
    for m in c.get_api_mappings(DomainName=ref)["Items"]:
        c.delete_api_mapping(ApiMappingId=m["ApiMappingId"], DomainName=ref)
    c.delete_domain_name(DomainName=ref)


def create_certificate(c, p):
    return c.request_certificate(DomainName=p["DomainName"], ValidationMethod=p["ValidationMethod"],
                                 Tags=p["Tags"])["CertificateArn"]


def create_health_check(c, p):
    return c.create_health_check(CallerReference=str(uuid.uuid4()), HealthCheckConfig=p["HealthCheckConfig"]
                                 )["HealthCheck"]["Id"]


def change_record(c, action, p):
    record = {k: v for k, v in p.items() if k != "HostedZoneId"}
    c.change_resource_record_sets(HostedZoneId=p["HostedZoneId"], ChangeBatch={"Changes": [
        {"Action": action, "ResourceRecordSet": record}]})
    return "/".join((p["HostedZoneId"], p["Name"], p["Type"], p["SetIdentifier"]))


def create_log_stream(c, p):
    c.create_log_stream(logGroupName=p["LogGroupName"], logStreamName=p["LogStreamName"])
    return p["LogStreamName"]


def create_database(c, p):
    c.create_database(**p)
    return p["DatabaseInput"]["Name"]


def create_table(c, p):
    c.create_table(**p)
    return p["TableInput"]["Name"]


def stream(c, ref):
    return c.describe_delivery_stream(DeliveryStreamName=ref)["DeliveryStreamDescription"]


MISSING = [
    Type("AWS::ApiGatewayV2::ApiMapping", "apigatewayv2", api_gateway("create_api_mapping", "ApiMappingId"), nothing),
    Type("AWS::ApiGatewayV2::DomainName", "apigatewayv2", put("create_domain_name", name="DomainName"),
         delete_domain,
         {"RegionalDomainName": regional_host, "RegionalHostedZoneId": lambda c, ref: REGIONAL_ZONE}),
    Type("AWS::CertificateManager::Certificate", "acm", create_certificate,
         lambda c, p, ref: c.delete_certificate(CertificateArn=ref)),
    Type("AWS::Route53::HealthCheck", "route53", create_health_check,
         lambda c, p, ref: c.delete_health_check(HealthCheckId=ref), {"HealthCheckId": lambda c, ref: ref}),
    Type("AWS::Route53::RecordSet", "route53", lambda c, p: change_record(c, "CREATE", p),
         lambda c, p, ref: change_record(c, "DELETE", p),  # of moto all types of a region at once
         update=lambda c, p: change_record(c, "UPSERT", p)),
    Type("AWS::ApiGatewayV2::Api", "apigatewayv2", api_gateway("create_api", "ApiId"),
         lambda c, p, ref: c.delete_api(ApiId=ref), {"ApiEndpoint": lambda c, ref: c.get_api(ApiId=ref)["ApiEndpoint"]}),
    Type("AWS::ApiGatewayV2::Integration", "apigatewayv2", api_gateway("create_integration", "IntegrationId"), nothing),
    Type("AWS::ApiGatewayV2::Route", "apigatewayv2", api_gateway("create_route", "RouteId"), nothing),
    Type("AWS::ApiGatewayV2::Stage", "apigatewayv2", create_stage, nothing),
    Type("AWS::CloudWatch::Alarm", "cloudwatch", put("put_metric_alarm", name="AlarmName"),
         lambda c, p, ref: c.delete_alarms(AlarmNames=[ref])),
    Type("AWS::CloudWatch::CompositeAlarm", "cloudwatch", put("put_composite_alarm", name="AlarmName"),
         lambda c, p, ref: c.delete_alarms(AlarmNames=[ref])),
    Type("AWS::CodeDeploy::Application", "codedeploy", create_application, delete_application),
    Type("AWS::CodeDeploy::DeploymentGroup", "codedeploy", create_deployment_group, nothing),
    Type("AWS::Glue::Database", "glue", create_database, lambda c, p, ref: c.delete_database(Name=ref)),
    Type("AWS::Glue::Table", "glue", create_table, nothing),
    Type("AWS::KinesisFirehose::DeliveryStream", "firehose", put("create_delivery_stream", name="DeliveryStreamName"),
         lambda c, p, ref: c.delete_delivery_stream(DeliveryStreamName=ref),
         {"Arn": lambda c, ref: stream(c, ref)["DeliveryStreamARN"]}),
    Type("AWS::Lambda::Alias", "lambda", lambda c, p: c.create_alias(**p)["AliasArn"], delete_alias),
    Type("AWS::Lambda::Version", "lambda", publish_version, nothing, {"Version": lambda c, ref: ref.rsplit(":", 1)[1]}),
    Type("AWS::Lambda::EventInvokeConfig", "lambda", create_invoke_config, nothing),
    Type("AWS::Logs::LogStream", "logs", create_log_stream, nothing),
    Type("AWS::S3::BucketPolicy", "s3", set_bucket_policy, lambda c, p, ref: c.delete_bucket_policy(Bucket=ref)),
    Type("AWS::SNS::TopicPolicy", "sns", set_topic_policy, nothing),
    Type("AWS::SQS::QueuePolicy", "sqs", set_queue_policy,
         lambda c, p, ref: c.set_queue_attributes(QueueUrl=ref, Attributes={"Policy": ""})),
]


def register(kind, base):
    """Makes a model of the type, which moto finds among the subclasses of base."""

    class Model(base):
        __module__ = "moto.missing"  # moto takes a model's service from its module's name

        def __init__(self, ref, region, properties):
            self.ref, self.region, self.properties = ref, region, properties

        @staticmethod
        def cloudformation_name_type():
            return ""

        @staticmethod
        def cloudformation_type():
            return kind.name

        @classmethod
        def has_cfn_attr(cls, attr):
            return attr in kind.attributes

        def get_cfn_attribute(self, attribute):
            return kind.attributes[attribute](client(kind.service, self.region), self.ref)

        @property
        def physical_resource_id(self):
            return self.ref

        @classmethod
        def create_from_cloudformation_json(cls, name, resource, account, region, **kwargs):
            properties = resource["Properties"]
            return cls(kind.create(client(kind.service, region), properties), region, properties)

        @classmethod
        def update_from_cloudformation_json(cls, original_resource, new_resource_name, cloudformation_json, account_id,
                                            region_name):
            if kind.update:
                properties = cloudformation_json["Properties"]
                return cls(kind.update(client(kind.service, region_name), properties), region_name, properties)
            original_resource.delete(account_id, region_name)
            return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)

        def delete(self, account, region):
            kind.delete(client(kind.service, region), self.properties, self.ref)

    return Model


def mend(model, change):
    """Lets a model of moto's take what it overlooks: change gets the properties, and what is to be done once it is made."""
    create = model.create_from_cloudformation_json.__func__

    def create_and_mend(cls, name, resource, account, region, **kwargs):
        after = change(resource["Properties"], region)
        made = create(cls, name, resource, account, region, **kwargs)
        after(name)
        return made

    model.create_from_cloudformation_json = classmethod(create_and_mend)


def bucket_settings(p, region):
    def after(name):
        c = client("s3", region)
        if "VersioningConfiguration" in p:
            c.put_bucket_versioning(Bucket=name, VersioningConfiguration=p["VersioningConfiguration"])
        c.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=p["PublicAccessBlockConfiguration"])
        c.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [
            as_s3_has_it(rule) for rule in p["LifecycleConfiguration"]["Rules"]]})
    return after


def as_s3_has_it(rule):
    """A lifecycle rule as in S3's API."""
    rule = {**rule, "ID": rule["Id"], "Filter": {"Prefix": ""}}
    del rule["Id"]
    if "ExpirationInDays" in rule:
        rule["Expiration"] = {"Days": rule.pop("ExpirationInDays")}
    if "Transitions" in rule:
        rule["Transitions"] = [{"Days": t["TransitionInDays"], "StorageClass": t["StorageClass"]} for t in rule["Transitions"]]
    return rule


def as_cloudformation_has_it(rule):
    """A lifecycle rule as in a template."""
    rule = {**rule, "Id": rule["ID"]}
    if "Expiration" in rule:
        rule["ExpirationInDays"] = rule["Expiration"]["Days"]
    if "Transitions" in rule:
        rule["Transitions"] = [{**t, "TransitionInDays": t["Days"]} for t in rule["Transitions"]]
    return rule


def put_as_firehose_does(backend, name, version, to, records):
    """Writes an object of each batch at once, under the name that Firehose makes of prefix and extension."""
    from moto.s3.models import s3_backends
    now = datetime.datetime.now(datetime.timezone.utc)
    key = to["Prefix"].replace("!{timestamp:yyyy/MM/dd/HH}", now.strftime("%Y/%m/%d/%H")) + "-".join(
        (name, version, now.strftime("%Y-%m-%d-%H-%M-%S"), str(uuid.uuid4()))) + to["FileExtension"]
    s3_backends[backend.account_id][backend.partition].put_object(to["BucketARN"].split(":")[-1], key,
                                                                  b"".join(r["Data"] for r in records))
    return [{"RecordId": str(uuid.uuid4())} for _ in records]


def parameter_tags(p, region):
    p["Tags"] = [{"Key": key, "Value": value} for key, value in p.get("Tags", {}).items()]  # an object only here
    return lambda name: None


def execute_wholly(backend, execute, change_set_name, stack_name=None):
    """Executes a change set, and gives its stack what moto forgets: outputs, parameters and tags."""
    execute(backend, change_set_name, stack_name)
    change_set = backend.describe_change_set(change_set_name)
    stack = backend.stacks[change_set.stack_id]
    stack.parameters, stack.tags = change_set.parameters, change_set.tags
    stack._parse_template()
    stack.output_map = stack._create_output_map()


def protect(response):
    """UpdateTerminationProtection, which moto lacks."""
    from moto.core.responses import ActionResult
    stack = response.cloudformation_backend.get_stack(response._get_param("StackName"))
    stack.enable_termination_protection = response._get_bool_param("EnableTerminationProtection")
    return ActionResult({"StackId": stack.stack_id})


def serve():
    global ENDPOINT
    from moto.cloudformation.models import CloudFormationBackend
    from moto.cloudformation.responses import CloudFormationResponse
    from moto.cloudformation import parsing
    from moto.core.common_models import CloudFormationModel
    from moto.awslambda.models import LambdaBackend, LambdaVersion
    from moto.cloudwatch.responses import CloudWatchResponse
    from moto.firehose.models import FirehoseBackend
    from moto.iam.access_control import PermissionResult
    from moto.s3.models import FakeBucket
    from moto.server import ThreadedMotoServer
    from moto.ssm.models import Parameter

    mend(FakeBucket, bucket_settings)
    # moto overlooks a policy's conditions, so that one which denies what comes without TLS would deny everything.
    FakeBucket.get_permission = lambda *args: PermissionResult.NEUTRAL
    mend(Parameter, parameter_tags)
    LambdaVersion.cloudformation_type = staticmethod(lambda: "")  # it does not tell a version's number
    models = [register(kind, CloudFormationModel) for kind in MISSING]  # held, for they are found by reference

    CloudWatchResponse.put_composite_alarm = CloudWatchResponse.put_metric_alarm  # which takes an AlarmRule too
    FirehoseBackend.put_s3_records = put_as_firehose_does
    # moto knows Retain only. RetainExceptOnCreate is the same once a stack was made.
    delete = parsing.ResourceMap.delete

    def retaining(resources):
        for resource in resources._resource_json_map.values():
            if resource.get("DeletionPolicy") == "RetainExceptOnCreate":
                resource["DeletionPolicy"] = "Retain"
        delete(resources)

    parsing.ResourceMap.delete = retaining
    execute = CloudFormationBackend.execute_change_set
    CloudFormationBackend.execute_change_set = lambda backend, change_set_name, stack_name=None: execute_wholly(
        backend, execute, change_set_name, stack_name)
    CloudFormationResponse.update_termination_protection = protect
    # The functions' code is a small file: a message stays in its queue, as if every invocation failed.
    LambdaBackend.send_sqs_batch = lambda *args: False

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    ENDPOINT = "http://%s:%d" % server.get_host_and_port()
    print(ENDPOINT, flush=True)
    sys.stdin.read()
    del models


def policy(c, **of):
    try:
        return json.loads(c.get_policy(**of)["Policy"])["Statement"]
    except c.exceptions.ResourceNotFoundException:
        return []


def function(c, ref):
    return {**c.get_function_configuration(FunctionName=ref), **c.get_function_concurrency(FunctionName=ref),
            "Statement": policy(c, FunctionName=ref)}


def alias(c, ref):
    name, qualifier = ref.split(":function:")[1].split(":")
    return {**c.get_alias(FunctionName=name, Name=qualifier), "FunctionName": name, "FunctionArn": ref,
            "Statement": policy(c, FunctionName=name, Qualifier=qualifier)}


def role(c, ref):
    names = c.list_role_policies(RoleName=ref)["PolicyNames"]
    return {**c.get_role(RoleName=ref)["Role"],
            "Policies": [{**c.get_role_policy(RoleName=ref, PolicyName=name), "Roles": [ref]} for name in names]}


def event_source(c, ref):
    mapping = c.get_event_source_mapping(UUID=ref)
    return {**mapping, "FunctionName": mapping["FunctionArn"].rsplit(":", 1)[1]}


def queue(c, ref):
    return {**c.get_queue_attributes(QueueUrl=ref, AttributeNames=["All"])["Attributes"],
            "QueueName": ref.rsplit("/", 1)[1]}


def bucket(c, ref):
    return {"BucketName": ref,
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [
                {"ServerSideEncryptionByDefault": rule["ApplyServerSideEncryptionByDefault"]} for rule in
                c.get_bucket_encryption(Bucket=ref)["ServerSideEncryptionConfiguration"]["Rules"]]},
            "PublicAccessBlockConfiguration": c.get_public_access_block(Bucket=ref)["PublicAccessBlockConfiguration"],
            "VersioningConfiguration": c.get_bucket_versioning(Bucket=ref),
            "LifecycleConfiguration": {"Rules": [as_cloudformation_has_it(rule) for rule in
                                                 c.get_bucket_lifecycle_configuration(Bucket=ref)["Rules"]]}}


def log_stream(c, ref):
    for g in c.describe_log_groups()["logGroups"]:
        for s in c.describe_log_streams(logGroupName=g["logGroupName"], logStreamNamePrefix=ref)["logStreams"]:
            return {"LogStreamName": s["logStreamName"], "LogGroupName": g["logGroupName"]}
    return {}


def delivery_stream(c, ref):
    found = stream(c, ref)
    return {**found, "Arn": found["DeliveryStreamARN"],
            "ExtendedS3DestinationConfiguration": found["Destinations"][0]["ExtendedS3DestinationDescription"],
            "DeliveryStreamEncryptionConfigurationInput": found["DeliveryStreamEncryptionConfiguration"]}


def database(c, ref):
    return {"DatabaseInput": c.get_database(Name=ref)["Database"], "CatalogId": "123456789012"}


def table(c, ref):
    for d in c.get_databases()["DatabaseList"]:
        for t in c.get_tables(DatabaseName=d["Name"])["TableList"]:
            if t["Name"] == ref:
                return {"TableInput": t, "DatabaseName": d["Name"], "CatalogId": "123456789012"}
    return {}


def mapping(c, ref):
    for domain in c.get_domain_names()["Items"]:
        for m in c.get_api_mappings(DomainName=domain["DomainName"])["Items"]:
            if m["ApiMappingId"] == ref:
                return {**m, "DomainName": domain["DomainName"]}
    return {}


def certificate(c, ref):
    found = c.describe_certificate(CertificateArn=ref)["Certificate"]
    return {**found, "ValidationMethod": found["DomainValidationOptions"][0]["ValidationMethod"]}


def record(c, ref):
    zone, name, kind, identifier = ref.split("/")
    for r in c.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]:
        if (r["Name"].rstrip("."), r["Type"], r.get("SetIdentifier")) == (name, kind, identifier):
            return {**r, "Name": name, "HostedZoneId": zone}
    return {}


def topic(c, ref):
    return {**c.get_topic_attributes(TopicArn=ref)["Attributes"], "TopicName": ref.rsplit(":", 1)[1]}


# How each type is read back: its service, and a call with the resource's physical ID and that of the API.
READERS = {
    "AWS::ApiGatewayV2::ApiMapping": ("apigatewayv2", lambda c, ref, _: mapping(c, ref)),
    "AWS::ApiGatewayV2::DomainName": ("apigatewayv2", lambda c, ref, _: {
        **c.get_domain_name(DomainName=ref), "RegionalDomainName": regional_host(c, ref),
        "RegionalHostedZoneId": REGIONAL_ZONE}),
    "AWS::CertificateManager::Certificate": ("acm", lambda c, ref, _: certificate(c, ref)),
    "AWS::Route53::HealthCheck": ("route53", lambda c, ref, _: {
        **c.get_health_check(HealthCheckId=ref)["HealthCheck"], "HealthCheckId": ref}),
    "AWS::Route53::RecordSet": ("route53", lambda c, ref, _: record(c, ref)),
    "AWS::ApiGatewayV2::Api": ("apigatewayv2", lambda c, ref, _: c.get_api(ApiId=ref)),
    "AWS::ApiGatewayV2::Integration": ("apigatewayv2", lambda c, ref, api: {
        **c.get_integration(ApiId=api, IntegrationId=ref), "ApiId": api}),
    "AWS::ApiGatewayV2::Route": ("apigatewayv2", lambda c, ref, api: {
        **c.get_route(ApiId=api, RouteId=ref), "ApiId": api}),
    "AWS::ApiGatewayV2::Stage": ("apigatewayv2", lambda c, ref, api: {
        **c.get_stage(ApiId=api, StageName=ref.split("/")[1]), "ApiId": api}),
    "AWS::CloudWatch::Alarm": ("cloudwatch", lambda c, ref, _: c.describe_alarms(AlarmNames=[ref])["MetricAlarms"][0]),
    "AWS::CloudWatch::CompositeAlarm": ("cloudwatch", lambda c, ref, _: c.describe_alarms(
        AlarmNames=[ref], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"][0]),
    "AWS::CloudWatch::Dashboard": ("cloudwatch", lambda c, ref, _: c.get_dashboard(DashboardName=ref)),
    "AWS::CodeDeploy::Application": ("codedeploy", lambda c, ref, _: c.get_application(
        applicationName=ref)["application"]),
    "AWS::CodeDeploy::DeploymentGroup": ("codedeploy", lambda c, ref, _: c.get_deployment_group(
        applicationName=c.list_applications()["applications"][0], deploymentGroupName=ref)["deploymentGroupInfo"]),
    "AWS::Lambda::Alias": ("lambda", lambda c, ref, _: alias(c, ref)),
    "AWS::Lambda::Version": ("lambda", lambda c, ref, _: c.get_function_configuration(FunctionName=ref)),
    "AWS::Events::Rule": ("events", lambda c, ref, _: {
        **c.describe_rule(Name=ref), "Targets": c.list_targets_by_rule(Rule=ref)["Targets"]}),
    "AWS::IAM::Role": ("iam", lambda c, ref, _: role(c, ref)),
    "AWS::Glue::Database": ("glue", lambda c, ref, _: database(c, ref)),
    "AWS::Glue::Table": ("glue", lambda c, ref, _: table(c, ref)),
    "AWS::KinesisFirehose::DeliveryStream": ("firehose", lambda c, ref, _: delivery_stream(c, ref)),
    "AWS::Lambda::EventInvokeConfig": (
        "lambda", lambda c, ref, _: c.get_function_event_invoke_config(FunctionName=ref)),
    "AWS::Lambda::EventSourceMapping": ("lambda", lambda c, ref, _: event_source(c, ref)),
    "AWS::Lambda::Function": ("lambda", lambda c, ref, _: function(c, ref)),
    "AWS::Logs::LogGroup": ("logs", lambda c, ref, _: c.describe_log_groups(logGroupNamePrefix=ref)["logGroups"][0]),
    "AWS::Logs::LogStream": ("logs", lambda c, ref, _: log_stream(c, ref)),
    "AWS::S3::Bucket": ("s3", lambda c, ref, _: bucket(c, ref)),
    "AWS::S3::BucketPolicy": ("s3", lambda c, ref, _: {
        "Bucket": ref, "PolicyDocument": c.get_bucket_policy(Bucket=ref)["Policy"]}),
    "AWS::SSM::Parameter": ("ssm", lambda c, ref, _: {
        **c.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [ref]}])["Parameters"][0],
        **c.get_parameter(Name=ref)["Parameter"]}),
    "AWS::SNS::Topic": ("sns", lambda c, ref, _: topic(c, ref)),
    "AWS::SNS::TopicPolicy": ("sns", lambda c, ref, _: {"PolicyDocument": topic(c, ref)["Policy"], "Topics": [ref]}),
    "AWS::SQS::Queue": ("sqs", lambda c, ref, _: queue(c, ref)),
    "AWS::SQS::QueuePolicy": ("sqs", lambda c, ref, _: {"PolicyDocument": queue(c, ref)["Policy"], "Queues": [ref]}),
}


def read(region, stack):
    resources = client("cloudformation", region).get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [r for page in resources for r in page["StackResourceSummaries"]]
    apis = [r["PhysicalResourceId"] for r in resources if r["ResourceType"] == "AWS::ApiGatewayV2::Api"]
    found = {}
    for r in resources:
        kind, ref = r["ResourceType"], r.get("PhysicalResourceId", "")
        entry = {"Type": kind, "Ref": ref}
        if kind in READERS:
            service, reader = READERS[kind]
            entry["Read"] = reader(client(service, region), ref, apis[0] if apis else "")
            entry["Read"].pop("ResponseMetadata", None)
        found[r["LogicalResourceId"]] = entry
    json.dump(found, sys.stdout, default=str)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        ENDPOINT = sys.argv[2]
        read(sys.argv[3], sys.argv[4])
