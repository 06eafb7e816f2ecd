use tokio::sync::Semaphore;

use super::*;

/// A reader of a feed with this header, without a connection.
fn reader(feed: &Arc<Feed>, last_event_id: Option<&str>) -> Reader {
    let mut headers = HeaderMap::new();
    headers.extend(last_event_id.map(|id| (LAST_EVENT_ID, HeaderValue::from_str(id).unwrap())));
    Reader {
        feed: feed.clone(),
        next: feed.watch(),
        place: place(&headers, feed),
        resource_type: None,
        heartbeat: Duration::from_secs(15),
        begun: false,
        over: CancellationToken::new(),
        keys_changed: CancellationToken::new(),
        _permit: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
    }
}

async fn next(reader: &mut Reader) -> String {
    String::from_utf8(reader.frame().await.unwrap().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_lives_and_where_it_is() {
    let feed = Arc::new(Feed::new("a"));
    let mut reader = reader(&feed, None);
    assert_eq!(next(&mut reader).await, ": the stream begins\nretry: 2000\nid: a-0\n\n");
    let began = tokio::time::sleep(Duration::ZERO).deadline();
    assert_eq!(next(&mut reader).await, ": alive\nid: a-0\n\n");
    assert_eq!(began.elapsed(), Duration::from_secs(15));
}

#[tokio::test]
async fn an_id_of_another_life_or_of_nobody_is_told_as_a_gap() {
    let feed = Arc::new(Feed::new("a"));
    for id in ["b-3", "a-9", "?", ""] {
        let mut reader = reader(&feed, Some(id));
        next(&mut reader).await;
        assert_eq!(next(&mut reader).await, "id: a-0\nevent: gap\ndata: {\"missed\":true}\n\n", "{id}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_service() {
    let feed = Arc::new(Feed::new("a"));
    let mut reader = reader(&feed, None);
    next(&mut reader).await;
    let (ended, ()) = tokio::join!(reader.frame(), async {
        tokio::task::yield_now().await;
        feed.close();
    });
    assert!(ended.is_none());
}
