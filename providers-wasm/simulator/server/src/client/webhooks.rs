//! Control over tokens, webhooks and media, and requests that no channel would make.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::{ControlClient, unexpected};
use crate::control::{ControlReply, ControlRequest};
use crate::model::Medium;
use crate::webhook::{SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::webhook_control::WebhookRequest;
use crate::webhooks::{DeliveryRecord, SignedRequest};

impl SignedRequest {
    /// Posts it as it is. The status.
    pub async fn post(&self) -> io::Result<u16> {
        let request = Request::post(&self.url)
            .header("content-type", "application/json")
            .header(TIMESTAMP_HEADER, self.timestamp)
            .header(SIGNATURE_HEADER, &self.signature)
            .body(Full::new(Bytes::from(self.body.clone())))
            .map_err(io::Error::other)?;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.map_err(io::Error::other)?;
        let status = response.status().as_u16();
        response
            .into_body()
            .collect()
            .await
            .map_err(io::Error::other)?;
        Ok(status)
    }
}

impl ControlClient {
    async fn webhooks(&mut self, request: WebhookRequest) -> io::Result<ControlReply> {
        self.call(&ControlRequest::Webhooks(request)).await
    }

    /// Of the HTTP API, for an account of this user.
    pub async fn token(&mut self, user: &str) -> io::Result<String> {
        let user = user.to_owned();
        match self.webhooks(WebhookRequest::Token { user }).await? {
            ControlReply::Token(token) => Ok(token),
            other => Err(unexpected(&other)),
        }
    }

    /// `user`: none for all that have no address of their own.
    pub async fn set_webhook(
        &mut self,
        user: Option<&str>,
        url: Option<&str>,
        secret: &str,
    ) -> io::Result<()> {
        let request = WebhookRequest::Set {
            user: user.map(str::to_owned),
            url: url.map(str::to_owned),
            secret: secret.to_owned(),
        };
        self.webhooks(request).await.map(drop)
    }

    /// All that was posted to webhook addresses.
    pub async fn deliveries(&mut self) -> io::Result<Vec<DeliveryRecord>> {
        match self.webhooks(WebhookRequest::Deliveries {}).await? {
            ControlReply::Deliveries(records) => Ok(records),
            other => Err(unexpected(&other)),
        }
    }

    /// The last request to this user's address, or to the app's.
    pub async fn last_delivery(&mut self, user: Option<&str>) -> io::Result<Option<SignedRequest>> {
        let user = user.map(str::to_owned);
        match self.webhooks(WebhookRequest::Last { user }).await? {
            ControlReply::SignedRequest(request) => Ok(request),
            other => Err(unexpected(&other)),
        }
    }

    /// A medium of so many bytes, which are [`crate::generated`].
    pub async fn make_up_medium(&mut self, size: u64, mime: &str) -> io::Result<Medium> {
        let mime = mime.to_owned();
        self.medium_of(WebhookRequest::MakeUp { size, mime })
            .await?
            .ok_or_else(|| io::Error::other("there is none"))
    }

    pub async fn medium(&mut self, id: &str) -> io::Result<Option<Medium>> {
        let id = id.to_owned();
        self.medium_of(WebhookRequest::Medium { id }).await
    }

    async fn medium_of(&mut self, request: WebhookRequest) -> io::Result<Option<Medium>> {
        match self.webhooks(request).await? {
            ControlReply::Medium(medium) => Ok(medium),
            other => Err(unexpected(&other)),
        }
    }
}
