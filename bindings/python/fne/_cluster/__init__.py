"""What a worker of Ray or Spark does. Nothing here knows either of them: both give and take tables of Arrow."""
